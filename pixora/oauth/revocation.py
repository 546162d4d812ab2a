"""Revoke tokens (RFC 7009)."""

from pixora.errors import InvalidToken
from pixora.services import services
from pixora.tokens.refresh import RefreshToken


def revoke(text: str) -> None:
    """End the session of a refresh or access token; do nothing for all else, as RFC 7009, section 2.2, has it.

    Any genuine refresh token of the session counts, also one that was exchanged before: its client may not have
    received the answer. One update removes the session, and each refresh requires it in its own: a session that was
    revoked never answers again.
    """
    found = _session_of_refresh_token(text) or _session_of_access_token(text)
    if found and services.sessions.log_out(*found):
        user_id, session_id = found
        services.audit.record("session_ended", user_id, session_id=session_id)


def _session_of_refresh_token(text: str) -> tuple[str, str] | None:
    token = RefreshToken.parse(text)
    if token is None:
        return None
    session = services.sessions.find_session(token.user_id, token.session_id)
    if session is None or not token.is_genuine(services.settings.secret_key, session["salt"]):
        return None
    return token.user_id, token.session_id


def _session_of_access_token(text: str) -> tuple[str, str] | None:
    try:
        token = services.tokens.verify(text)
    except InvalidToken:
        return None
    return token.user_id, token.session_id
