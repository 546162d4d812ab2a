"""Sending what is in the outbox: each letter at least once, and mostly once."""

import logging
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from typing import NamedTuple

from jinja2 import TemplateError

from pixora import clock
from pixora.accounts.outbox import Claimed, UnreadableToken
from pixora.mail import messages, rendering
from pixora.mail.addresses import sender
from pixora.mail.failures import NotSent, Refused, Unavailable
from pixora.mail.links import Obsolete, link_of
from pixora.mail.smtp import Connection, Server
from pixora.services import services

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 12
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=4)
"""30 seconds after the first attempt, twice as long after each one: the last comes about half a day after the first."""

JITTER = 0.25
"""Waits are up to so much shorter or longer: letters that failed together shall not all come back together."""


class Sent(NamedTuple):
    """A letter that the SMTP server has, and the database may not know of yet."""

    user_id: str
    letter_id: str


class Sender:
    """Sends letters over one connection, in the context of an application. `given_up`: how many it had to give up."""

    def __init__(self, connection: Connection) -> None:
        self.given_up = 0
        self._connection = connection
        self._not_noted: list[Sent] = []

    def send_all(self, is_stopped: Callable[[], bool]) -> Counter[str]:
        """Send what is due, one after the other; return how many letters were `sent`, `put_off`, and so on.

        A letter is claimed, handed over, and only then removed. Who dies in between leaves it claimed: it is sent once
        more, under the same Message-ID, when the lease is over.

        Raises:
            Unavailable: The SMTP server is away; the letter that found it out has been put off.
            DatabaseUnavailable: What was sent is noted at the next call, before anything else.

        """
        outcomes: Counter[str] = Counter()
        self.note()
        while not is_stopped() and (claimed := services.outbox.claim(clock.utcnow())):
            outcomes[self._handle(claimed)] += 1
        self._connection.close()  # it would not outlive a pause
        return outcomes

    def note(self) -> None:
        """Remove from the outbox what was sent."""
        while self._not_noted:
            services.outbox.remove(*self._not_noted[-1])
            self._not_noted.pop()

    @property
    def has_to_note(self) -> bool:
        """Whether something was sent that the database does not know of."""
        return bool(self._not_noted)

    def _handle(self, claimed: Claimed) -> str:
        letter = claimed.email
        try:
            if letter["attempts"] > MOST_ATTEMPTS:  # each of its senders has died on it
                raise Refused(letter.get("failure", "sender_died"))
            message = _message(claimed)
            self._connection.send(message, message["To"].addresses[0].addr_spec)
        except Obsolete:
            services.outbox.remove(claimed.user_id, letter["id"])
            return _told("letter_dropped", "A letter was dropped: its link is good no longer.", claimed)
        except NotSent as failure:
            if isinstance(failure, Refused) or letter["attempts"] >= MOST_ATTEMPTS:
                outcome = _give_up(claimed, failure.failure)
                self.given_up += 1
            else:
                outcome = _put_off(claimed, failure.failure)
            if isinstance(failure, Unavailable):
                raise
            return outcome
        self._not_noted.append(Sent(claimed.user_id, letter["id"]))
        outcome = _told("letter_sent", "A letter was sent.", claimed)
        self.note()
        return outcome


def connection() -> Connection:
    """Return a connection, not yet made, to the server of `SMTP_URL`, which must be set."""
    return Connection(Server.from_url(services.settings.smtp_url or ""), sender().domain)


def _message(claimed: Claimed) -> EmailMessage:
    letter = claimed.email
    try:
        return messages.build(letter, rendering.render(letter, *link_of(claimed, clock.utcnow())))
    except UnreadableToken as error:
        raise Refused("secret_key") from error
    except TemplateError as error:
        raise Refused("template") from error
    except ValueError as error:
        raise Refused("address") from error


def _put_off(claimed: Claimed, failure: str) -> str:
    wait = min(FIRST_WAIT * 2 ** (claimed.email["attempts"] - 1), LONGEST_WAIT)
    wait *= random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # no secret
    services.outbox.postpone(claimed, clock.utcnow() + wait, failure)
    return _told("letter_put_off", "A letter could not be sent, and will be tried again.", claimed, failure)


def _give_up(claimed: Claimed, failure: str) -> str:
    services.outbox.give_up(claimed, clock.utcnow(), failure)
    return _told("letter_given_up", "A letter could not be sent, and was given up.", claimed, failure)


def _told(event: str, sentence: str, claimed: Claimed, failure: str | None = None) -> str:
    """Log what became of a letter, without its address; return the name of it."""
    letter = claimed.email
    log.log(
        logging.ERROR if event == "letter_given_up" else logging.WARNING if failure else logging.INFO,
        sentence,
        extra={
            "event": event,
            "letter_id": letter["id"],
            "template": letter["template"],
            "user_id": claimed.user_id,
            "attempts": letter["attempts"],
            **({"failure": failure} if failure else {}),
        },
    )
    return event.removeprefix("letter_")
