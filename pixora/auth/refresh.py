"""Exchange refresh tokens, and end the session of a stolen one (RFC 6749, section 6; RFC 9700, section 4.14)."""

from datetime import datetime, timedelta

from pixora import clock
from pixora.accounts.documents import Session
from pixora.auth import grants
from pixora.auth.grants import Grant
from pixora.errors import InvalidGrant
from pixora.services import services
from pixora.tokens.refresh import RefreshToken

UNANSWERED_GRACE = timedelta(minutes=5)
"""How long the predecessor of a refresh token is accepted if the database moved the session on but could not confirm
it: longer than an outage and the pauses clients make."""

MAX_REPEATS = 100
"""How often one refresh token gets its successor again: enough for many browser tabs that wake up at once."""


def refresh(text: str, client_id: str | None = None) -> Grant:
    """Exchange a refresh token for its successor and a new access token.

    The token of the current generation moves the session on, in one atomic operation. Its immediate predecessor gets
    the same successor again: its response was lost, or another tab was faster. It does so at most `MAX_REPEATS` times
    and for `REFRESH_GRACE_SECONDS`, counted from the moment the database confirmed the operation: before that, nobody
    can hold the successor, so a client that retries after an outage is no thief. An outage within that time makes it
    begin again. An older genuine token was stolen, and ends the session. A forged one changes nothing and causes no
    write.

    The `client_id` of OAuth is not compared with that of the login: nobody has verified either, and a client that
    changes its name must not lose its sessions.

    Raises:
        InvalidGrant: The token is not accepted, for whatever reason.

    """
    token = RefreshToken.parse(text)
    if token is None:
        raise InvalidGrant
    with services.outages.noticed():
        return _exchange(token, client_id)


def _exchange(token: RefreshToken, client_id: str | None) -> Grant:
    """Exchange a token that may be forged; raise `InvalidGrant` as `refresh` does."""
    while True:
        now = clock.utcnow()
        session = services.sessions.find_session(token.user_id, token.session_id)
        if session is None or not token.is_genuine(services.settings.secret_key, session["salt"]):
            break
        if services.sessions.lifetimes.has_ended(session, now):
            break
        current = session["generation"]
        if token.generation == current:
            if user := services.sessions.advance(token.user_id, token.session_id, current, now):
                return grants.confirm(user, session, current + 1, client_id)
            continue  # another request was faster: read the session again
        if token.generation == current - 1 and _is_in_grace(session, now):
            if user := services.sessions.repeat(token.user_id, token.session_id, current, MAX_REPEATS):
                return grants.confirm(user, session, current, client_id)
            break  # too many repeats, or the session has just moved on or ended
        if token.generation < current and services.sessions.end(token.user_id, token.session_id):
            services.audit.record("refresh_reuse", token.user_id, session_id=token.session_id)
        break  # a future generation is from before the database was restored from a backup
    raise InvalidGrant


def _is_in_grace(session: Session, now: datetime) -> bool:
    grace = timedelta(seconds=services.settings.refresh_grace_seconds)
    answered = session.get("answered", {})
    if answered.get("generation") == session["generation"]:
        return bool(now - answered["at"] <= grace) or services.outages.interrupted(answered["at"], grace, now)
    return bool(now - session["last_used_at"] <= max(grace, UNANSWERED_GRACE))
