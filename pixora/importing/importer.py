"""Importing the lines of a file in batches.

While MongoDB stores one batch, the next one is read and checked.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from flask import Flask, current_app

from pixora.accounts.audit import COMMAND
from pixora.accounts.documents import User
from pixora.importing.batches import SECONDS, Batches, Outcome
from pixora.importing.lines import Line
from pixora.importing.records import LineRefused, Reader
from pixora.passwords import verify
from pixora.services import services

BATCH = 1_000

REFUSED = "refused"

COUNTED = Outcome.IMPORTED, Outcome.ALREADY_THERE, Outcome.ERASED
"""The outcomes of lines that are not refused."""

FIELDS = {Outcome.ADDRESS_TAKEN: "email", Outcome.ID_TAKEN: "id"}

Refusals = dict[int, Mapping[str, list[str]]]
"""The refused lines: for each line number the messages by field."""


class Batch(NamedTuple):
    """Lines that were read: the last of them, the users by line number, and the refused lines."""

    last: Line
    users: dict[int, User]
    refused: Refusals


class Importer:
    """Imports the lines of a file; `counts` has the number of lines by outcome, those of an earlier run included."""

    def __init__(self, reader: Reader, batches: Batches, counts: Mapping[str, int]) -> None:
        self._reader = reader
        self._batches = batches
        self._failure: Exception | None = None
        self.counts = Counter({**{outcome.value: 0 for outcome in COUNTED}, REFUSED: 0, **counts})

    def run(self, lines: Iterable[Line]) -> Iterator[tuple[Line, Refusals]]:
        """Import all lines; yield the last line and the refused lines of each batch once a majority has stored it.

        Raises:
            DatabaseUnavailable: the batches yielded before are stored.
            OSError: the lines cannot be read.

        """
        with ThreadPoolExecutor(1) as executor:
            pending: tuple[Batch, Future[list[Outcome]]] | None = None
            for batch in self._read(lines):
                app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # for the thread
                stored = executor.submit(self._store, app, list(batch.users.values()))
                if pending:
                    yield self._settle(*pending)
                pending = batch, stored
            if pending:
                yield self._settle(*pending)

    def _read(self, lines: Iterable[Line]) -> Iterator[Batch]:
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

    def _store(self, app: Flask, users: Sequence[User]) -> list[Outcome]:
        if self._failure:
            raise self._failure  # instead of waiting for the same failure again
        try:
            with app.app_context():
                outcomes = self._batches.store(users) if users else []
                imported: defaultdict[str | None, list[str]] = defaultdict(list)
                for user, outcome in zip(users, outcomes, strict=True):
                    if outcome is Outcome.IMPORTED:
                        stored = user.get("password")
                        imported[None if stored is None else verify.scheme(stored)].append(user["_id"])
                for scheme, ids in imported.items():
                    services.audit.record_all("user_imported", ids, by=COMMAND, at_least=SECONDS, scheme=scheme)
        except Exception as error:
            self._failure = error
            raise
        return outcomes

    def _settle(self, batch: Batch, stored: Future[list[Outcome]]) -> tuple[Line, Refusals]:
        refused = dict(batch.refused)
        for number, outcome in zip(batch.users, stored.result(), strict=True):
            if outcome in COUNTED:
                self.counts[outcome.value] += 1
            else:
                refused[number] = {FIELDS.get(outcome, "line"): [outcome.value]}
        self.counts[REFUSED] += len(refused)
        return batch.last, dict(sorted(refused.items()))
