"""`/verify-email`, `/reset-password`, `/confirm-email`: GET shows a form and changes nothing, POST does it.

Mail scanners open links, so opening one must do nothing. What goes wrong is told on a page, with the form on it where
another try may help. These pages are for people and no part of the API, so they are not in its OpenAPI document.
"""

import contextlib
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus

from flask import Blueprint, Response, make_response, render_template, request
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from pixora.errors import (
    DatabaseUnavailable,
    EmailTaken,
    InvalidOneTimeToken,
    Overloaded,
    PixoraError,
    RateLimited,
    ValidationFailed,
    WrongPassword,
)
from pixora.mail.rendering import service_name
from pixora.pages import words
from pixora.pages.forms import FORMS, Form
from pixora.services import services
from pixora.tokens.one_time import Purpose
from pixora.web.bodies import BodyParser

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

blueprint = Blueprint("pages", __name__)


def show(form: Form) -> Response:
    """Show the form, or why its link is no good."""
    [token] = tokens if len(tokens := request.args.getlist("token")) == 1 else [""]
    try:
        return _form(form, token, _address(form, token))
    except InvalidOneTimeToken as error:
        return _no_good(form, error)
    except DatabaseUnavailable as error:
        return _form(form, token, None, alert=words.UNAVAILABLE, error=error)


def submit(form: Form) -> Response:
    """Do what the form is for, and say what became of it."""
    fields: dict[str, str] = BodyParser().load_form(request, form.schema())
    try:
        form.submit(_checked(form, fields))
    except InvalidOneTimeToken as error:
        return _no_good(form, error)
    except EmailTaken as error:
        return message(words.TAKEN, error.status)
    except PixoraError as error:
        return _again(form, fields.get("token", ""), error)
    return message(form.words.done, HTTPStatus.OK)


@blueprint.errorhandler(PixoraError)
def not_read(error: PixoraError) -> Response:
    """Say that a form could not be read: not sent by our page, or damaged on the way."""
    return message(words.NOT_READ, error.status)


@blueprint.errorhandler(HTTPException)
def our_fault(error: HTTPException) -> Response:
    """Say that we have failed."""
    return message(words.OUR_FAULT, HTTPStatus(error.code or 500))


@blueprint.after_request
def _set_headers(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Cache-Control"] = "no-store"
    return response


def _checked(form: Form, fields: dict[str, str]) -> dict[str, str]:
    if form.field and fields.get(form.field) == "":
        raise ValidationFailed({form.field: [words.NO_PASSWORD]})
    try:
        checked: dict[str, str] = form.schema().load(fields)
    except ValidationError as error:
        if "token" in error.messages_dict:
            raise InvalidOneTimeToken("malformed") from error
        raise ValidationFailed(error.messages_dict) from error
    return checked


def _address(form: Form, token: str) -> str:
    """Return the address that the link is about: the new one, where it is to be changed."""
    found = services.one_time_tokens.find_valid(form.purpose, token)
    return str((found.record if form.purpose == Purpose.CHANGE_EMAIL else found.user)["email"])


def _again(form: Form, token: str, error: PixoraError) -> Response:
    """Return the form once more, with what was wrong; an error that another try does not help is raised."""
    alert, messages = None, []
    match error:
        case WrongPassword():
            messages = [words.WRONG_PASSWORD]
        case ValidationFailed() if set(error.errors) == {form.field}:
            [messages] = error.errors.values()
        case RateLimited():
            alert = words.too_many(error.retry_after)
        case Overloaded():
            alert = words.OVERLOADED
        case DatabaseUnavailable():
            return _form(form, token, None, alert=words.UNAVAILABLE, error=error)
        case _:
            raise error
    address = None
    with contextlib.suppress(PixoraError):
        address = _address(form, token)
    return _form(form, token, address, messages=messages, alert=alert, error=error)


def _form(
    form: Form,
    token: str,
    address: str | None,
    *,
    messages: Sequence[str] = (),
    alert: str | None = None,
    error: PixoraError | None = None,
) -> Response:
    page = render_template(
        "pages/form.html",
        service=service_name(),
        form=form,
        words=form.words,
        token=token,
        address=address,
        messages=messages,
        alert=alert,
        min_length=services.settings.password_min_length,
    )
    response = make_response(page, error.status if error else HTTPStatus.OK)
    if error and (retry_after := getattr(error, "retry_after", error.headers.get("Retry-After"))):
        response.headers["Retry-After"] = str(retry_after)
    return response


def _no_good(form: Form, error: InvalidOneTimeToken) -> Response:
    told = {"expired": form.words.expired, "used": form.words.used}.get(error.reason, words.MALFORMED)
    return message(told, error.status)


def message(message: words.Message, status: HTTPStatus) -> Response:
    """Return a page that tells something."""
    page = render_template("pages/message.html", service=service_name(), message=message, is_good=status < 400)
    return make_response(page, status)


for _each in FORMS:
    blueprint.add_url_rule(_each.path, f"show_{_each.purpose}", partial(show, _each))
    blueprint.add_url_rule(_each.path, f"submit_{_each.purpose}", partial(submit, _each), methods=["POST"])
