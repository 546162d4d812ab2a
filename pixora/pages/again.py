"""`/verify-email/again`: a new link to verify an address with, for users who cannot log in before they have done so."""

from http import HTTPStatus

from flask import Response, make_response, render_template, request
from marshmallow import Schema, ValidationError

from pixora.auth import verification
from pixora.auth.schemas import Password
from pixora.errors import DatabaseUnavailable, InvalidCredentials, Overloaded, PixoraError, RateLimited
from pixora.mail.rendering import VERIFY_AGAIN, service_name
from pixora.pages import words
from pixora.pages.routes import blueprint, message
from pixora.web.bodies import BodyParser
from pixora.web.fields import TypedEmail

__all__ = ["blueprint"]


class AgainSchema(Schema):
    """Who wants a new link."""

    email = TypedEmail(required=True)
    password = Password(required=True)


@blueprint.route(VERIFY_AGAIN)
def show_again() -> Response:
    """Show the form."""
    return _form()


@blueprint.route(VERIFY_AGAIN, methods=["POST"])
def submit_again() -> Response:
    """Send a new link, and say so."""
    fields: dict[str, str] = BodyParser().load_form(request, AgainSchema())
    try:
        wanted = AgainSchema().load(fields)
        is_sent = verification.send_again(wanted["email"], wanted["password"], request.remote_addr)
    except (ValidationError, InvalidCredentials):
        return _form(words.WRONG_CREDENTIALS, fields, InvalidCredentials())
    except RateLimited as error:
        return _form(words.too_many(error.retry_after, "attempts, or e-mails to this address"), fields, error)
    except Overloaded as error:
        return _form(words.OVERLOADED, fields, error)
    except DatabaseUnavailable as error:
        return _form(words.UNAVAILABLE, fields, error)
    if is_sent:
        return message(words.VERIFY_AGAIN_SENT, HTTPStatus.ACCEPTED)
    return message(words.VERIFIED_ALREADY, HTTPStatus.OK)


def _form(alert: str | None = None, fields: dict[str, str] | None = None, error: PixoraError | None = None) -> Response:
    email = (fields or {}).get("email", "")
    page = render_template("pages/again.html", service=service_name(), path=VERIFY_AGAIN, alert=alert, email=email)
    response = make_response(page, error.status if error else HTTPStatus.OK)
    if error and (retry_after := getattr(error, "retry_after", error.headers.get("Retry-After"))):
        response.headers["Retry-After"] = str(retry_after)
    return response
