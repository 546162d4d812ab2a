"""The pages of the links in e-mails, and `/verify-email/again` and `/forgot-password` for a new link.

GET shows a form and changes nothing, because mail scanners open links; POST acts. Errors are pages too, with the form
where another attempt can help. The pages are not part of the API and not in its OpenAPI document.
"""

import contextlib
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, make_response, render_template, request
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from pixora.auth import email_change, invitations, recovery, verification
from pixora.errors import (
    DatabaseUnavailable,
    EmailTaken,
    InvalidCredentials,
    InvalidOneTimeToken,
    Overloaded,
    PixoraError,
    RateLimited,
    ValidationFailed,
    WrongPassword,
)
from pixora.mail.identity import service_name
from pixora.pages import texts, translation
from pixora.pages.forms import (
    ACCEPT_INVITATION,
    CONFIRM_EMAIL,
    FORGOT_PASSWORD,
    FORMS,
    NEW_LINK,
    RESET_PASSWORD,
    VERIFY_EMAIL,
    Form,
)
from pixora.passwords.verify import MAX_BYTES
from pixora.services import services
from pixora.tokens.one_time import Purpose
from pixora.web.bodies import BodyParser

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'{logo}; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)

blueprint = Blueprint("pages", __name__)


@blueprint.get(VERIFY_EMAIL.path)
@blueprint.get(RESET_PASSWORD.path)
@blueprint.get(ACCEPT_INVITATION.path)
@blueprint.get(CONFIRM_EMAIL.path)
def show_form() -> Response:
    """Show the form of a link, if its token is valid."""
    form = FORMS[request.path]
    [token] = tokens if len(tokens := request.args.getlist("token")) == 1 else [""]
    return _form(form, token=token, email=_email(form, token))


@blueprint.get(NEW_LINK.path)
def show_new_link_form() -> Response:
    """Show the form that asks for a new link."""
    return _form(NEW_LINK)


@blueprint.get(FORGOT_PASSWORD.path)
def show_forgot_password_form() -> Response:
    """Show the form that asks for a link to choose a new password."""
    return _form(FORGOT_PASSWORD)


@blueprint.post(VERIFY_EMAIL.path)
def verify_email() -> Response:
    """Verify an e-mail address."""
    fields = _fields(VERIFY_EMAIL)
    verification.confirm(fields["token"], fields["password"], request.remote_addr)
    return _message(texts.EMAIL_VERIFIED)


@blueprint.post(NEW_LINK.path)
def send_new_link() -> Response:
    """Send a new link to users who cannot log in until they have verified their e-mail address."""
    fields = _fields(NEW_LINK)
    is_sent = verification.send_again(fields["email"], fields["password"], request.remote_addr)
    return _message(texts.NEW_LINK_SENT, HTTPStatus.ACCEPTED) if is_sent else _message(texts.ALREADY_VERIFIED)


@blueprint.post(FORGOT_PASSWORD.path)
def send_reset_link() -> Response:
    """Send a link to choose a new password; the answer is the same whether or not there is an account."""
    recovery.send_link(_fields(FORGOT_PASSWORD)["email"], request.remote_addr)
    return _message(texts.RESET_LINK_SENT, HTTPStatus.ACCEPTED)


@blueprint.post(RESET_PASSWORD.path)
def reset_password() -> Response:
    """Set a new password."""
    fields = _fields(RESET_PASSWORD)
    recovery.reset_password(fields["token"], fields["new_password"])
    return _message(texts.PASSWORD_CHANGED)


@blueprint.post(ACCEPT_INVITATION.path)
def accept_invitation() -> Response:
    """Set the password of a user who is invited."""
    fields = _fields(ACCEPT_INVITATION)
    invitations.accept(fields["token"], fields["new_password"])
    return _message(texts.INVITATION_ACCEPTED)


@blueprint.post(CONFIRM_EMAIL.path)
def confirm_email() -> Response:
    """Put a new e-mail address into use."""
    email_change.confirm(_fields(CONFIRM_EMAIL)["token"])
    return _message(texts.EMAIL_CHANGED)


@blueprint.errorhandler(PixoraError)
def error_page(error: PixoraError) -> Response:
    """Answer an error with the form again, or with a message where another attempt cannot help."""
    form = FORMS[request.path]
    if isinstance(error, InvalidOneTimeToken):
        malformed = texts.MALFORMED._replace(link=form.texts.expired.link)
        reasons = {"expired": form.texts.expired, "used": form.texts.used}
        return _message(reasons.get(error.reason, malformed), error.status)
    if isinstance(error, EmailTaken):
        return _message(texts.EMAIL_TAKEN, error.status)
    messages = _messages(form, error)
    alert = None if messages else _alert(error)
    if not (messages or alert):
        return _message(texts.UNREADABLE_FORM, error.status)
    token, email = _submitted(form, error)
    response = _form(form, token=token, email=email, messages=messages, alert=alert)
    response.status_code = error.status
    if retry_after := getattr(error, "retry_after", error.headers.get("Retry-After")):
        response.headers["Retry-After"] = str(retry_after)
    return response


@blueprint.errorhandler(HTTPException)
def server_error_page(error: HTTPException) -> Response:
    """Answer an unexpected error."""
    return _message(texts.SERVER_ERROR, HTTPStatus(error.code or 500))


@blueprint.after_request
def _set_headers(response: Response) -> Response:
    logo = urlsplit(services.settings.brand_logo or "")
    origin = f" {logo.scheme}://{logo.netloc}" if logo.netloc else ""
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY.format(logo=origin)
    response.headers["Vary"] = "Accept-Language"
    response.headers["Cache-Control"] = "no-store"
    return response


def _messages(form: Form, error: PixoraError) -> Sequence[str]:
    """Return the messages about the password, if the error is about the password alone."""
    if isinstance(error, WrongPassword):
        return [texts.WRONG_PASSWORD]
    if isinstance(error, ValidationFailed) and set(error.errors) == {form.password_field}:
        return next(iter(error.errors.values()))
    return ()


def _alert(error: PixoraError) -> str | None:
    """Return what to say above the form, if another attempt can help."""
    match error:
        case ValidationFailed() if set(error.errors) == {"email"}:
            return texts.NO_EMAIL
        case InvalidCredentials():
            return texts.WRONG_CREDENTIALS
        case RateLimited():
            return texts.rate_limited(error.retry_after)
        case Overloaded():
            return texts.OVERLOADED
        case DatabaseUnavailable():
            return texts.UNAVAILABLE
        case _:
            return None


def _fields(form: Form) -> dict[str, str]:
    """Return the submitted fields.

    Raises:
        InvalidOneTimeToken: There is no token, or it is malformed.
        InvalidCredentials: The form for a new link was not filled in correctly.
        ValidationFailed: Another field is missing, unknown or not acceptable.

    """
    submitted = BodyParser().load_form(request, form.schema())
    if form.has_token and form.password_field and form.password_field not in submitted:
        raise ValidationFailed({form.password_field: [texts.NO_PASSWORD]})
    try:
        fields: dict[str, str] = form.schema().load(submitted)
    except ValidationError as error:
        if not form.has_token and form.password_field:
            raise InvalidCredentials from error
        if "token" in error.messages_dict:
            raise InvalidOneTimeToken("malformed") from error
        raise ValidationFailed(error.messages_dict) from error
    return fields


def _email(form: Form, token: str) -> str:
    """Return the e-mail address that a link is about: the new one on the page that confirms it."""
    found = services.one_time_tokens.find_valid(form.purpose, token)
    return str((found.record if form.purpose == Purpose.CHANGE_EMAIL else found.user)["email"])


def _submitted(form: Form, error: PixoraError) -> tuple[str, str]:
    """Return the token of a request that failed, and the e-mail address to show beside it."""
    values = request.form if request.method == "POST" else request.args
    token = values.get("token", "")
    if not form.has_token:
        return "", values.get("email", "")
    if not isinstance(error, DatabaseUnavailable):
        with contextlib.suppress(PixoraError):
            return token, _email(form, token)
    return token, ""


def _form(
    form: Form, *, token: str = "", email: str = "", messages: Sequence[str] = (), alert: str | None = None
) -> Response:
    return make_response(
        _page(
            "pages/form.html",
            form=form,
            token=token,
            email=email,
            messages=messages,
            alert=alert,
            min_length=services.settings.password_min_length,
            max_bytes=MAX_BYTES,
            forgot_password_path=FORGOT_PASSWORD.path,
        )
    )


def _message(message: texts.Message, status: HTTPStatus = HTTPStatus.OK) -> Response:
    page = _page("pages/message.html", message=message, is_good=status < 400, return_url=services.settings.return_url)
    return make_response(page, status)


def _page(template: str, **values: Any) -> str:
    """Render a template in the language of the page, which the links and the form on it keep."""
    tag, linked = translation.language(), translation.linked_language()
    return render_template(
        template,
        service=service_name(),
        language=tag,
        t=translation.translator(tag),
        query=f"?{translation.LOCALE}={linked}" if linked else "",
        logo=services.settings.brand_logo,
        has_brand=services.settings.brand_color is not None,
        **values,
    )
