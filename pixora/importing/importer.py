"""An import, from line to line: reads, checks and stores, a batch at a time.

While one batch is being stored, the next is read and checked: the one is MongoDB's time, the other ours.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from flask import current_app

from pixora.accounts.audit import COMMAND
from pixora.database.client import Document
from pixora.importing.batches import SECONDS, Batches, Outcome
from pixora.importing.lines import Line
from pixora.importing.records import LineRefused, Reader
from pixora.passwords import verify
from pixora.services import services

BATCH = 1_000

REFUSED = "refused"

Refuse = Callable[[int, Mapping[str, list[str]]], None]
"""Is told of each line that is refused: its number, and why, by field."""

Advance = Callable[[Line, Counter[str]], None]
"""Is told of the last line that is done for good, after each batch, and of what became of all of them."""


class Batch(NamedTuple):
    """Lines that were read: the last of them, the users by the numbers of theirs, and those refused already."""

    last: Line
    users: dict[int, Document]
    refused: dict[int, Mapping[str, list[str]]]


class Importer:
    """Imports the lines of a file.

    Args:
        reader: Makes documents of them.
        batches: Stores these.
        refuse: Is told of each line that is refused, in their order.
        advance: Is told how far it has come.
        counts: What became of the lines before, where it goes on.

    """

    def __init__(
        self, reader: Reader, batches: Batches, refuse: Refuse, advance: Advance, counts: Mapping[str, int]
    ) -> None:
        self._reader = reader
        self._batches = batches
        self._refuse = refuse
        self._advance = advance
        self._failure: Exception | None = None
        self.counts = Counter({**{outcome.value: 0 for outcome in _COUNTED}, REFUSED: 0, **counts})

    def run(self, lines: Iterable[Line]) -> None:
        """Import all.

        Raises:
            DatabaseUnavailable: what `advance` was told of is done.
            OSError: the same, when it comes from `lines`, `refuse` or `advance`.

        """
        app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # for the other thread

        def store(users: list[Document]) -> list[Outcome]:
            if self._failure:
                raise self._failure  # and do not wait for the same again
            try:
                with app.app_context():
                    return self._store(users)
            except Exception as error:
                self._failure = error
                raise

        with ThreadPoolExecutor(1) as storing:
            under_way: tuple[Batch, Future[list[Outcome]]] | None = None
            for batch in self._read(lines):
                began = storing.submit(store, list(batch.users.values()))
                if under_way:
                    self._settle(*under_way)
                under_way = batch, began
            if under_way:
                self._settle(*under_way)

    def _read(self, lines: Iterable[Line]) -> Iterable[Batch]:
        batch = None
        for line in lines:
            batch = Batch(line, *batch[1:]) if batch else Batch(line, {}, {})
            try:
                if user := self._reader.read(line):
                    batch.users[line.number] = user
            except LineRefused as error:
                batch.refused[line.number] = error.errors
            if len(batch.users) + len(batch.refused) >= BATCH:
                yield batch
                batch = None
        if batch:
            yield batch

    def _store(self, users: list[Document]) -> list[Outcome]:
        outcomes = self._batches.store(users) if users else []
        imported = defaultdict(list)
        for user, outcome in zip(users, outcomes, strict=True):
            if outcome is Outcome.IMPORTED:
                imported[verify.scheme(user["password"])].append(user["_id"])
        for scheme, ids in imported.items():
            services.audit.record_all("user_imported", ids, by=COMMAND, at_least=SECONDS, scheme=scheme)
        return outcomes

    def _settle(self, batch: Batch, stored: Future[list[Outcome]]) -> None:
        refused = dict(batch.refused)
        for number, outcome in zip(batch.users, stored.result(), strict=True):
            if outcome in _COUNTED:
                self.counts[outcome.value] += 1
            else:
                refused[number] = {_FIELDS.get(outcome, "line"): [outcome.value]}
        for number in sorted(refused):
            self._refuse(number, refused[number])
        self.counts[REFUSED] += len(refused)
        self._advance(batch.last, self.counts)


_COUNTED = Outcome.IMPORTED, Outcome.ALREADY_THERE, Outcome.ERASED
"""What becomes of a line that is not refused."""

_FIELDS = {Outcome.ADDRESS_TAKEN: "email", Outcome.ID_TAKEN: "id"}
