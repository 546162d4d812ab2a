"""The e-mails in the outbox, for people: as they will be sent, and what will become of them."""

from datetime import datetime
from typing import Any

from pixora.accounts.outbox import Claimed, StaleLink, UnreadableToken
from pixora.mail import rendering
from pixora.services import services


def describe(claimed: Claimed, now: datetime) -> dict[str, Any] | None:
    """Return what to show of an e-mail, or None if it will not be sent because its link is no longer valid.

    In production the token in the link is hidden.
    """
    email = claimed.email
    try:
        token, expires_at = services.outbox.link_token(claimed, now)
    except StaleLink:
        return None
    except UnreadableToken:
        token, expires_at = "(encrypted-under-another-SECRET_KEY)", now
    if token is not None and services.settings.pixora_env == "production":
        token = "(hidden)"  # noqa: S105  # no token
    content = rendering.render(email, token, expires_at, claimed.recipient)
    return {
        "id": email["id"],
        "user_id": claimed.user_id,
        "template": email["template"],
        "to": email["to"],
        "subject": content.subject,
        "text": content.text,
        "html": content.html,
        "link": content.link,
        "created_at": email["created_at"].isoformat(),
        "due_at": email["due_at"] and email["due_at"].isoformat(),
        "attempts": email["attempts"],
        "failure": email.get("failure"),
        "given_up": "given_up_at" in email,
    }


def state(email: dict[str, Any]) -> str:
    """Return in words what will become of an e-mail, from `describe`."""
    if email["given_up"]:
        return f"given up after attempt {email['attempts']} ({email['failure']})"
    if email["failure"]:
        return f"attempt {email['attempts']} failed ({email['failure']}), next attempt at {email['due_at']}"
    return "waiting to be sent"
