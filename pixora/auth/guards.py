"""Who may call a route. Every route of the API has exactly one of these guards.

They verify tokens through `services.tokens`, and replace `jwt_required` of Flask-JWT-Extended. That decorator
accepts only the spelling `Bearer` of the scheme, parses each token four times a request and leaves no place for a cache
of verified tokens. A guard reads the header, verifies a token once per worker, and loads the user by the same database
read that checks the session: a deleted or disabled user, an ended session and a lost role are stopped at once.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from flask import g, request

from pixora import clock
from pixora.accounts import assurance
from pixora.accounts.assurance import Authentication
from pixora.accounts.documents import User
from pixora.accounts.users import has_password, is_admin
from pixora.errors import (
    AdminOnly,
    DatabaseUnavailable,
    InvalidToken,
    MissingToken,
    SecondFactorNeeded,
    StepUpNeeded,
)
from pixora.factors.errors import AdminFactorNeeded
from pixora.services import services
from pixora.web.application import current
from pixora.web.blueprint import SECURITY_SCHEME, documented, fails, reject_undeclared_parameters

MAX_AGE = timedelta(seconds=300)
"""How long ago an authentication may be for `require_recent_login`; the challenge of `StepUpNeeded` names it."""


def public(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let anyone call the view."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        reject_undeclared_parameters()
        return view(*args, **kwargs)

    return documented(security=[])(guarded)


def public_or_without_password(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let anyone call the view, which asks for `user_without_password` where the body has no password."""
    guarded = fails(MissingToken, InvalidToken, SecondFactorNeeded)(public(view))
    return documented(security=[{}, {SECURITY_SCHEME: []}])(guarded)


def user_without_password() -> User | None:
    """Return the user of a request if the user has no password and a recent login; None without an access token.

    None also for a user with a password, which the request must contain.
    """
    if "Authorization" not in request.headers:
        return None
    user = _authenticate()
    if has_password(user):
        return None
    _require_step_up(user)
    return user


def require_user(view: Callable[..., Any]) -> Callable[..., Any]:
    """Authenticate the request, and pass the user to the view as first argument, without the password hash.

    Keep it the outermost decorator except the route's: a caller without a token learns nothing about valid requests.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        user = _authenticate()
        reject_undeclared_parameters()
        return view(user, *args, **kwargs)

    return _documented(guarded)


def require_recent_login(view: Callable[..., Any]) -> Callable[..., Any]:
    """Authenticate the request as `require_user` does, and demand a recent authentication at the user's best level.

    For routes that change what the user can log in with, and take no password themselves (RFC 9470). The one that
    removes the password takes it besides.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        user = _authenticate()
        _require_step_up(user)
        reject_undeclared_parameters()
        return view(user, *args, **kwargs)

    return _documented(fails(StepUpNeeded)(guarded))


def require_recent_second_factor(view: Callable[..., Any]) -> Callable[..., Any]:
    """Authenticate the request as `require_user` does; users with a second factor must have used it recently.

    For routes that change what the user can log in with, and take the password, which is all that other users have.
    Users without a password must have used their passkey recently.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        user = _authenticate()
        if _best_level(user) == assurance.AAL2 or not has_password(user):
            _require_step_up(user)
        reject_undeclared_parameters()
        return view(user, *args, **kwargs)

    return _documented(fails(SecondFactorNeeded)(guarded))


def require_admin(view: Callable[..., Any]) -> Callable[..., Any]:
    """Authenticate the request as `require_user` does, and reject users who are not administrators now.

    With `ADMIN_SECOND_FACTOR`, the session must be one of two factors.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        user = _authenticate()
        if not is_admin(user):
            raise AdminOnly
        if services.settings.admin_second_factor and _authentication()["acr"] < assurance.AAL2:
            raise AdminFactorNeeded
        reject_undeclared_parameters()
        return view(user, *args, **kwargs)

    return _documented(fails(AdminOnly, AdminFactorNeeded)(guarded))


def _authenticate() -> User:
    """Return the user of the access token, by the one database operation that also checks the session.

    `g.user_id` is for the log, `g.session_id` for routes about sessions, `g.claims` are those of the token.

    Raises:
        MissingToken, InvalidToken: also when the session has ended, or the user is disabled or deleted.

    """
    token = services.tokens.verify(_bearer_token())
    user = services.users.find_in_session(token.user_id, token.session_id)
    known = current(g)
    known.session_id, known.user_id, known.claims = token.session_id, token.user_id, token.claims
    return user


def _require_step_up(user: User) -> None:
    """Compare how the user of this request was authenticated with what the account allows.

    Raises:
        StepUpNeeded: The authentication is older than `MAX_AGE`, or not at the user's best level.
        InvalidToken: The session has ended.

    """
    authentication, best_level = _authentication(), _best_level(user)
    is_recent = clock.utcnow() - authentication["auth_time"] <= MAX_AGE
    if not is_recent or authentication["acr"] < best_level:
        raise SecondFactorNeeded if best_level == assurance.AAL2 else StepUpNeeded


def _best_level(user: User) -> str:
    """Return the level that the account allows."""
    return assurance.best_level(user, services.settings)


def _authentication() -> Authentication:
    """Return how the user of this request was authenticated, by the access token.

    A token of an earlier version does not say it, so that this reads the session.
    """
    claims = g.claims
    if "auth_time" in claims:
        auth_time = datetime.fromtimestamp(claims["auth_time"], tz=clock.UTC)
        return {"auth_time": auth_time, "acr": claims["acr"], "amr": claims["amr"]}
    session = services.sessions.find_session(g.user_id, g.session_id)
    if session is None:
        raise InvalidToken
    return assurance.of_session(session)


def _documented(guarded: Callable[..., Any]) -> Callable[..., Any]:
    guarded = fails(MissingToken, InvalidToken, DatabaseUnavailable)(guarded)
    return documented(security=[{SECURITY_SCHEME: []}])(guarded)


def _bearer_token() -> str:
    """Return the token of the Authorization header (RFC 6750, section 2.1), the only place it is read from."""
    scheme, _, token = current(request).headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":  # RFC 9110, section 11.1: the scheme is case-insensitive
        raise MissingToken
    return token.strip()
