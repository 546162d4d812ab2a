"""Everything stored about a user, except secrets and data about others.

Left out are the hashes of the password and of one-time tokens, the salts of sessions, the secret and the recovery codes
of the second factor, the tokens in e-mails, and e-mails to others: these reveal whether somebody has an account with
the address the user asked to change to. Of the audit trail it has the last `events.EXPORTED` events, and the cursor of
the next page.
"""

from datetime import datetime

from pixora.accounts.documents import Passkey, User
from pixora.database.client import Document
from pixora.factors import second_factor
from pixora.passkeys.fields import encode
from pixora.services import services
from pixora.users import events


def export(user: User, now: datetime) -> Document:
    """Return the data of `ExportSchema` from the whole document of a user."""
    return {
        "exported_at": now,
        "profile": user,
        **{name: user[name] for name in ("accept_language", "password_removed_at") if name in user},
        "sessions": [services.sessions.lifetimes.for_display(session) for session in user.get("sessions", [])],
        "pending": [{"purpose": purpose, **record} for purpose, record in user.get("tokens", {}).items()],
        "letters": [email for email in user.get("letters", []) if email["to"] == user["email"]],
        "passkeys": [_described(passkey) for passkey in user.get("passkeys", [])],
        "factors": second_factor.describe(user),
        "events": events.page(user["_id"], events.EXPORTED),
    }


def _described(passkey: Passkey) -> Document:
    """Return a passkey with its binary fields as text."""
    encoded = {"credential_id": encode(passkey["credential_id"]), "public_key": encode(passkey["public_key"])}
    return {**passkey, **encoded}
