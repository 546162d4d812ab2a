"""Sending of the e-mails that are due: each at least once, and almost always exactly once."""

import logging
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from typing import NamedTuple

from jinja2 import TemplateError

from pixora import clock
from pixora.accounts.outbox import Claimed, StaleLink, UnreadableToken
from pixora.mail import messages, rendering
from pixora.mail.failures import DeliveryFailure, PermanentFailure, ServerUnavailable
from pixora.mail.identity import sender_address
from pixora.mail.smtp import Connection, Server
from pixora.services import services

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 12
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=4)
"""The wait doubles after each attempt, so the last attempt is about half a day after the first."""

JITTER = 0.25
"""Waits vary by this fraction, so that e-mails that failed together are not retried together."""


class Sent(NamedTuple):
    """An e-mail that the SMTP server has accepted and that may still be in the outbox."""

    user_id: str
    email_id: str


class Sender:
    """Sends e-mails over one connection. `given_up` counts those that will not be tried again."""

    def __init__(self, connection: Connection) -> None:
        self.given_up = 0
        self._connection = connection
        self._sent: list[Sent] = []

    def send_all(self, is_stopped: Callable[[], bool]) -> Counter[str]:
        """Send the e-mails that are due, one by one; count those that were `sent`, `deferred`, and so on.

        An e-mail is claimed, handed over, and only then removed. If the sender dies in between, the e-mail is sent
        again with the same Message-ID when its lease ends.

        Raises:
            ServerUnavailable: The e-mail that met this has been deferred.
            DatabaseUnavailable: The next call first removes what was sent.

        """
        outcomes: Counter[str] = Counter()
        self.remove_sent()
        while not is_stopped() and (claimed := services.outbox.claim(clock.utcnow())):
            outcomes[self._send(claimed)] += 1
        self._connection.close()  # it would not outlive a pause
        return outcomes

    def remove_sent(self) -> None:
        """Remove the sent e-mails from the outbox."""
        while self._sent:
            services.outbox.remove(*self._sent[-1])
            self._sent.pop()

    @property
    def has_sent(self) -> bool:
        """Whether a sent e-mail is still in the outbox."""
        return bool(self._sent)

    def _send(self, claimed: Claimed) -> str:
        email = claimed.email
        try:
            if email["attempts"] > MAX_ATTEMPTS:  # each sender that claimed it has died
                raise PermanentFailure(email.get("failure", "sender_died"))
            message = _build(claimed)
            self._connection.send(message, message["To"].addresses[0].addr_spec)
        except StaleLink:
            services.outbox.remove(claimed.user_id, email["id"])
            return _log_event("email_dropped", "An e-mail was dropped because its link is no longer valid.", claimed)
        except DeliveryFailure as error:
            if isinstance(error, PermanentFailure) or email["attempts"] >= MAX_ATTEMPTS:
                outcome = _give_up(claimed, error.failure)
                self.given_up += 1
            else:
                outcome = _defer(claimed, error.failure)
            if isinstance(error, ServerUnavailable):
                raise
            return outcome
        self._sent.append(Sent(claimed.user_id, email["id"]))
        outcome = _log_event("email_sent", "An e-mail was sent.", claimed)
        self.remove_sent()
        return outcome


def connection() -> Connection:
    """Return a connection, not yet open, to the server of `SMTP_URL`, which must be set."""
    return Connection(Server.from_url(services.settings.smtp_url or ""), sender_address().domain)


def _build(claimed: Claimed) -> EmailMessage:
    try:
        token, expires_at = services.outbox.link_token(claimed, clock.utcnow())
        content = rendering.render(claimed.email, token, expires_at, claimed.recipient)
        return messages.build(claimed.email, content)
    except UnreadableToken as error:
        raise PermanentFailure("secret_key") from error
    except TemplateError as error:
        raise PermanentFailure("template") from error
    except ValueError as error:
        raise PermanentFailure("address") from error


def _defer(claimed: Claimed, failure: str) -> str:
    wait = min(FIRST_WAIT * 2 ** (claimed.email["attempts"] - 1), LONGEST_WAIT)
    wait *= random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # no secret
    services.outbox.postpone(claimed, clock.utcnow() + wait, failure)
    return _log_event("email_deferred", "An e-mail could not be sent and will be tried again.", claimed, failure)


def _give_up(claimed: Claimed, failure: str) -> str:
    services.outbox.give_up(claimed, clock.utcnow(), failure)
    return _log_event("email_given_up", "An e-mail could not be sent and will not be tried again.", claimed, failure)


def _log_event(event: str, sentence: str, claimed: Claimed, failure: str | None = None) -> str:
    """Log what happened to an e-mail, without its address, and return the outcome: the event without `email_`."""
    email = claimed.email
    log.log(
        logging.ERROR if event == "email_given_up" else logging.WARNING if failure else logging.INFO,
        sentence,
        extra={
            "event": event,
            "email_id": email["id"],
            "template": email["template"],
            "user_id": claimed.user_id,
            "attempts": email["attempts"],
            **({"failure": failure} if failure else {}),
        },
    )
    return event.removeprefix("email_")
