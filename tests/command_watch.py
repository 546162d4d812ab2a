"""The commands that PyMongo sends to MongoDB, for the fixtures that read or interrupt them."""

from collections.abc import Callable

from pymongo import monitoring

from pixora.accounts.hash_census import COMMENT


class CommandWatch(monitoring.CommandListener):
    """Notes every command that any client of this process sends, while `commands` is a list.

    But for those by which hashes are counted: they are for no request, and come at any time.
    """

    commands: list[monitoring.CommandStartedEvent] | None = None
    interruption: Callable[[monitoring.CommandStartedEvent], None] | None = None

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if self.interruption is not None:
            self.interruption(event)
        if self.commands is not None and event.command.get("comment") != COMMENT:
            self.commands.append(event)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


WATCH = CommandWatch()
monitoring.register(WATCH)  # before any client is made: only later ones tell
