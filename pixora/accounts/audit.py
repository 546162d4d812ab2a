"""The audit trail: each event about an account or a key, as a log line and as a row in MongoDB.

Rows are `documents.AuditEvent`. Their only personal data is the client's network. MongoDB deletes them after
`AUDIT_DAYS`. A row is written after the event, within what remains of the request's time for the database; if that
fails, the log line remains. A worker that is killed in between leaves neither.

Clients cannot fill the collection:

- An event about an unknown e-mail address, such as a failed login or a requested reset, overwrites one of
  `MAX_UNKNOWN_ROWS` rows. The log keeps every line.
- Every login attempt and every sign-up costs a hash, and the throttles limit them. `locked_out` is recorded once, for
  the attempt that reaches a limit, not for the attempts that are then refused.
- `password_reset_requested` is recorded when an e-mail is queued, and e-mails are limited.
- All other events need a session or a one-time token. Ending a session twice is recorded once.

Refreshing a session is no event: each client does it every quarter of an hour, the session's `last_used_at` shows the
last time, and the metrics count it.
"""

import logging
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from bson import ObjectId
from flask import has_request_context, request
from pymongo import IndexModel
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from pixora import clock
from pixora.accounts.documents import AuditEvent
from pixora.database.client import Database, Document, Indexes, upserted
from pixora.errors import DatabaseUnavailable
from pixora.observability import metrics
from pixora.throttling.limits import networks
from pixora.web.middleware import request_id

log = logging.getLogger(__name__)

COMMAND = "command"
"""`by` of events that a command causes."""

MAX_UNKNOWN_ROWS = 10_000
"""How many rows events about unknown accounts may take."""


class Event(NamedTuple):
    """A kind of event. Its details never hold an e-mail address, a name, a secret or the id of a user."""

    description: str  # the message of the log line
    details: frozenset[str] = frozenset()  # their names
    level: int = logging.INFO


class Position(NamedTuple):
    """The position of a row in the trail of a user. Within one millisecond, the greater id comes first."""

    at: datetime
    row_id: str


_SESSION = frozenset({"session_id"})
_PASSKEY = frozenset({"passkey_id"})
_OUTCOME = frozenset({"outcome"})
"""`unknown` if the database failed before it acknowledged an administrator's change."""

EVENTS: Mapping[str, Event] = {
    "signup": Event("A user signed up."),
    "signup_refused": Event("A sign-up was rejected: the e-mail address has an account."),
    "login": Event("A user logged in.", _SESSION),
    "login_failed": Event("A login was rejected.", frozenset({"reason"})),
    "reauthenticated": Event("A user authenticated again within a session.", _SESSION),
    "wrong_password": Event("A session or a one-time token came with a wrong password."),
    "locked_out": Event("A wrong password reached a limit.", frozenset({"limits"}), logging.WARNING),
    "hash_upgraded": Event("A password hash was upgraded."),
    "password_changed": Event("A user changed the password; all other sessions ended.", _SESSION),
    "password_reset_requested": Event("A password reset was requested."),
    "password_reset": Event("A password was reset; all sessions ended."),
    "password_removed": Event("A user removed the password; all other sessions ended.", _SESSION),
    "email_verified": Event("An e-mail address was verified.", _OUTCOME),
    "email_change_requested": Event("A user requested a change of e-mail address."),
    "email_changed": Event("An e-mail address was changed."),
    "session_ended": Event("A session ended.", _SESSION),
    "sessions_ended": Event("Sessions of a user ended.", _OUTCOME),
    "refresh_reuse": Event(
        "A refresh token was reused; its session ended.", frozenset({"session_id"}), logging.WARNING
    ),
    "passkey_added": Event("A user added a passkey.", _PASSKEY | _SESSION),
    "passkey_removed": Event("A user removed a passkey.", _PASSKEY | _SESSION),
    "passkey_counter_went_back": Event(
        "A login was rejected: the counter of its passkey went back, so the passkey may have been copied.",
        _PASSKEY,
        logging.WARNING,
    ),
    "second_factor_required": Event("A login with a right password needs a second factor."),
    "second_factor_failed": Event("A login with a right password had a wrong code.", frozenset({"method"})),
    "second_factor_added": Event("A user set up a second factor; all other sessions ended.", _SESSION),
    "second_factor_removed": Event("A user removed the second factor.", _SESSION),
    "second_factor_reset": Event(
        "The second factors and passkeys of a user were removed; all sessions ended.", _OUTCOME
    ),
    "recovery_code_used": Event("A user logged in with a recovery code.", frozenset({"left"})),
    "recovery_codes_renewed": Event("A user made new recovery codes.", _SESSION),
    "account_deleted": Event("An account was deleted.", _OUTCOME),
    "user_created": Event("A user was created.", frozenset({"roles"})),
    "invited": Event("A user was invited.", _OUTCOME),
    "invitation_accepted": Event("A user accepted an invitation and chose a password."),
    "user_imported": Event("A user was imported.", frozenset({"scheme"})),
    "user_changed": Event("A user was changed.", frozenset({"fields"}) | _OUTCOME),
    "user_disabled": Event("A user was disabled.", _OUTCOME),
    "user_enabled": Event("A user was enabled.", _OUTCOME),
    "roles_changed": Event("The roles of a user were changed.", frozenset({"before", "roles"}) | _OUTCOME),
    "key_generated": Event("A signing key was generated.", frozenset({"kid", "algorithm"})),
    "key_retired": Event("A key was retired.", frozenset({"kid"})),
    "data_keys_rotated": Event("Secrets were encrypted under a new data key.", frozenset({"key", "number"})),
}
"""All events by name."""


def indexes(days: int) -> Indexes:
    """Return the indexes of a trail that is kept for this number of days."""
    kept = int(timedelta(days=days).total_seconds())
    return {
        "audit": [
            IndexModel([("at", 1)], name="at_1", expireAfterSeconds=kept),
            IndexModel([("user_id", 1), ("at", -1), ("_id", -1)], name="user_id_1_at_-1__id_-1"),
            IndexModel([("by", 1)], name="by_1", sparse=True),
        ]
    }


class Audit:
    """The audit trail of one application."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._collection = cast(Collection[AuditEvent], database.collection("audit"))

    def record(self, event: str, user_id: str | None, *, by: str | None = None, **details: Any) -> None:
        """Record an event in the log and as a row; if the row cannot be written, in the log only.

        Args:
            event: One of `EVENTS`.
            user_id: The user it concerns; None if there is no such account, or it concerns none.
            by: The id of the administrator who caused it, or `COMMAND`; None if the user did.
            details: Those that the event has.

        """
        row = _row(event, user_id, by, details)
        fields = {name: value for name, value in row.items() if name not in ("at", "request_id", "details")}
        log.log(EVENTS[event].level, EVENTS[event].description, extra=fields | details)
        metrics.events(event).inc()
        # One operation in either case, with the same name: response times must not reveal whether an account exists.
        place = ObjectId() if user_id or by else f"nobody-{secrets.randbelow(MAX_UNKNOWN_ROWS)}"
        try:
            with self._database.operation("audit.record"):
                upserted(lambda: self._collection.replace_one({"_id": place}, row, upsert=True))
        except DatabaseUnavailable:  # already logged
            pass
        except PyMongoError as error:
            log.error(
                "A row of the audit trail could not be written: %s",
                type(error).__name__,
                extra={"event": "audit_failed", "of": event},
            )

    def record_all(self, event: str, user_ids: list[str], *, by: str, at_least: float = 0.001, **details: Any) -> None:
        """Record an event of up to a thousand users: a row for each, and one log line with their number.

        Raises:
            DatabaseUnavailable: not all rows could be written.

        """
        rows = [_row(event, user_id, by, details) for user_id in user_ids]
        with self._database.operation("audit.record_all", at_least=at_least):
            self._collection.insert_many(rows, ordered=False)
        metrics.events(event).inc(len(rows))
        log.log(
            EVENTS[event].level,
            EVENTS[event].description,
            extra={"event": event, "by": by, "users": len(rows), **details},
        )

    def list_events(self, user_id: str, limit: int, after: Position | None = None) -> list[AuditEvent]:
        """Return events of a user, newest first; `after` is the position of the last one of the page before."""
        query: Document = {"user_id": user_id}
        if after is not None:
            query["at"] = {"$lte": after.at}
            query["$or"] = [{"at": {"$lt": after.at}}, {"_id": {"$lt": ObjectId(after.row_id)}}]
        with self._database.operation("audit.list_events"):
            return list(self._collection.find(query, sort=[("at", -1), ("_id", -1)], limit=limit))

    def anonymize(self, user_id: str, pseudonym: str, at_least: float = 0.001) -> None:
        """Replace the id of a deleted user by a pseudonym in all rows, and remove what else identifies the user.

        That is the network, and the id of the request, which the client may have chosen. In rows of an administrator's
        actions these belong to the administrator.

        Raises:
            DatabaseUnavailable: some rows may be done; call this again for the rest.

        """
        with self._database.operation("audit.anonymize", at_least=at_least):
            for name in ("user_id", "by"):
                forgotten = {name: pseudonym, "network": None, "request_id": None}
                self._collection.update_many({name: user_id}, {"$set": forgotten})


def _row(event: str, user_id: str | None, by: str | None, details: Document) -> AuditEvent:
    if event not in EVENTS:
        raise ValueError(f"there is no event {event}")
    if unknown := details.keys() - EVENTS[event].details:
        raise ValueError(f"{event} has no detail {', '.join(sorted(unknown))}")
    in_request = has_request_context()
    row: AuditEvent = {
        "user_id": user_id,
        "event": event,
        "at": clock.utcnow(),
        "network": networks(request.remote_addr)[0] if in_request else None,
        "request_id": request_id() if in_request else None,
        "details": details,
    }
    if by is not None:
        row["by"] = by
    return row
