"""Change one's profile."""

from collections.abc import Mapping
from typing import Any

from pixora import clock
from pixora.accounts import metadata
from pixora.accounts.documents import User
from pixora.accounts.sessions import in_session
from pixora.database.client import Document
from pixora.services import services
from pixora.web import etags


def change_profile(user: User, session_id: str, fields: Mapping[str, Any]) -> User:
    """Change fields of a profile and merge its metadata, if `If-Match` of the request allows it; return the profile.

    Raises:
        InvalidToken: The session has ended.
        PreconditionFailed: The profile has changed.
        ValidationFailed: Metadata would be too large.
        DatabaseUnavailable: Also when others changed a profile with nearly full metadata all the time.

    """
    required = etags.required_state(user)
    while True:
        stages, condition = metadata.merging(fields, clock.utcnow())
        changed = _update(user, session_id, stages, required | condition)
        if changed is None:
            user = services.users.find_in_session(user["_id"], session_id)
            required = etags.required_state(user)
            stages, condition = metadata.merged(user, fields, clock.utcnow())
            changed = _update(user, session_id, stages, required | condition)
        if changed is not None:
            return changed


def _update(user: User, session_id: str, stages: list[Document], condition: Document) -> User | None:
    return services.users.update_profile(user["_id"], *stages, **condition, **in_session(session_id))
