"""A clock that tests move."""

from datetime import datetime, timedelta, tzinfo

import pytest

from pixora import clock

UTCNOW = clock.utcnow


class MovableClock:
    """The clock, ours and those that the JWT libraries read, ahead of the real one; or standing still, once frozen."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._ahead = timedelta(0)
        self._frozen: datetime | None = None
        machine = self

        class Moved(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:
                return cls.fromtimestamp(machine.now().timestamp(), tz)

        patch.setattr(clock, "utcnow", self.now)
        patch.setattr("flask_jwt_extended.tokens.datetime", Moved)
        patch.setattr("jwt.api_jwt.datetime", Moved)

    def now(self) -> datetime:
        return (self._frozen or UTCNOW()) + self._ahead

    def freeze(self) -> None:
        self._frozen = UTCNOW()

    def move(self, **by: float) -> None:
        self._ahead += timedelta(**by)
