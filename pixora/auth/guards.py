"""Who may call a route. Every route of the API carries exactly one of these."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import g, request

from pixora.accounts.roles import is_admin
from pixora.database.client import Document
from pixora.errors import AdminOnly, DatabaseUnavailable, InvalidToken, MissingToken
from pixora.services import services
from pixora.web.blueprint import declared_parameters_only, documented, fails
from pixora.web.openapi import SECURITY_SCHEME


def public(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let anyone call the view."""
    return documented(security=[])(declared_parameters_only(view))


def require_user(view: Callable[..., Any]) -> Callable[..., Any]:
    """Give the view the user whose access token came, as its first argument, without the password hash.

    The outermost decorator but the route: who may not call learns nothing about what a call must be like.

    `g.session_id` is the session of the token, `g.user_id` the user's id, for the log.

    The user is read at every request, and only if the token's session is still there and the user not disabled: who is
    gone, or has ended the session, is stopped at once. This is the only database operation that reading one's own
    profile takes.
    """
    return _authenticated(declared_parameters_only(view))


def require_admin(view: Callable[..., Any]) -> Callable[..., Any]:
    """Give the view the administrator whose access token came, as `require_user` does.

    The roles are those of the document that was read: who was demoted is stopped at once, and no token says otherwise.
    """
    checked = declared_parameters_only(view)

    @wraps(view)
    def guarded(user: Document, *args: Any, **kwargs: Any) -> Any:
        if not is_admin(user):
            raise AdminOnly
        return checked(user, *args, **kwargs)

    return _authenticated(fails(AdminOnly)(guarded))


def _authenticated(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        token = services.tokens.verify(_bearer_token())
        user = services.users.find_in_session(token.user_id, token.session_id)
        if user is None:
            raise InvalidToken
        g.session_id, g.user_id = token.session_id, token.user_id
        return view(user, *args, **kwargs)

    guarded = fails(MissingToken, InvalidToken, DatabaseUnavailable)(guarded)
    return documented(security=[{SECURITY_SCHEME: []}])(guarded)


def _bearer_token() -> str:
    """Return the token of the Authorization header (RFC 6750, section 2.1), the only place it is read from."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":  # RFC 9110, section 11.1: the scheme is case-insensitive
        raise MissingToken
    return token.strip()
