"""All that is stored about a user, as the user gets to see it: everything but what is secret, even from its owner.

Of the audit trail it has the last `events.EXPORTED` events, and the cursor that leads on. Left out are the hashes, of
the password and of one-time tokens, the salts of sessions, the tokens in letters; and letters to others, which tell
about these: whether someone has an account with the address that one has asked for.
"""

from datetime import datetime

from pixora.database.client import Document
from pixora.services import services
from pixora.users import events


def export(user: Document, now: datetime) -> Document:
    """Return what `ExportSchema` writes down, of a user's whole document."""
    return {
        "exported_at": now,
        "profile": user,
        "sessions": [
            session | {"expires_at": services.sessions.lifetimes.end_of(session)}
            for session in user.get("sessions", [])
        ],
        "pending": [{"purpose": purpose, **record} for purpose, record in user.get("tokens", {}).items()],
        "letters": [letter for letter in user.get("letters", []) if letter["to"] == user["email"]],
        "events": events.page(user["_id"], events.EXPORTED),
    }
