"""Finding and repairing faulty indexes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pymongo import IndexModel
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, OperationFailure

from pixora.database import failures

UNAUTHORIZED = 13

Indexes = Mapping[str, Sequence[IndexModel]]
"""The required indexes, by the name of the collection."""

COMPARED_OPTIONS = ("unique", "sparse", "partialFilterExpression", "expireAfterSeconds", "collation", "hidden")

CHANGEABLE_OPTIONS = ("expireAfterSeconds", "hidden", "unique")
"""Options that MongoDB can change in an existing index (collMod) without rebuilding it."""


class Fault(NamedTuple):
    """A missing index (`there` is None), or one named `there` whose `options` differ from the required ones."""

    collection: str
    model: IndexModel
    there: str | None
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the collection and the index."""
        return f"{self.collection}.{self.there or self.model.document['name']}"

    @property
    def is_of_time(self) -> bool:
        """Whether only the lifetime of the indexed documents differs: the index can be used nevertheless."""
        return self.options == ("expireAfterSeconds",)

    @property
    def can_be_changed(self) -> bool:
        """Whether `repair` can correct the options without rebuilding the index."""
        return bool(self.options) and set(self.options) <= set(CHANGEABLE_OPTIONS)


def faults(database: Database[dict[str, Any]], indexes: Indexes) -> Iterator[Fault]:
    """Yield faulty indexes. One with the required keys and options is accepted under any name."""
    for collection, models in indexes.items():
        there = database[collection].index_information()
        for model in models:
            wanted = model.document
            keys = list(wanted["key"].items())
            unlike = {
                name: tuple(option for option in COMPARED_OPTIONS if found.get(option) != wanted.get(option))
                for name, found in there.items()
                if found["key"] == keys
            }
            if () in unlike.values():
                continue
            # The server rejects a second index of the same name, and would create one of another name beside it.
            name = wanted["name"]
            if name in there:
                yield Fault(collection, model, name, unlike.get(name, ("key",)))
            else:
                yield Fault(collection, model, None, ())


def repair(database: Database[dict[str, Any]], fault: Fault) -> str | None:
    """Create a missing index, or correct the options of an existing one in place, without blocking reads or writes.

    Returns:
        What a person has to do where MongoDB does not allow the repair, which then changes nothing; None on success.

    Raises:
        PyMongoError: MongoDB is not available.

    """
    if fault.there and not fault.can_be_changed:
        return (
            f"The index is wrong: its {' and '.join(fault.options)} differs. Drop it, in mongosh: "
            f'db.{fault.collection}.dropIndex("{fault.there}"). Then run: flask --app wsgi db upgrade'
        )
    try:
        if fault.there:
            _change(database, fault)
        else:
            _create(database, fault)
    except DuplicateKeyError:
        return "The unique index cannot be made: two users share an e-mail address. Merge or delete one of them."
    except OperationFailure as error:
        if error.code == UNAUTHORIZED:
            return (
                f"The user of MONGO_URI may not {'change' if fault.there else 'create'} the index. Grant the privilege "
                f"{'collMod' if fault.there else 'createIndex'} on {fault.collection}, and run: "
                "flask --app wsgi db upgrade"
            )
        if failures.reason(error, database.client) is not None:
            raise
        name = error.details.get("codeName") if error.details else error.code
        return f"An index with the same name or keys prevents it. Drop that index. MongoDB says: {name}"
    return None


def _create(database: Database[dict[str, Any]], fault: Fault) -> None:
    # By default all members must have built the index, so one that is down would delay it.
    is_replica_set = database.client.topology_description.topology_type_name.startswith("ReplicaSet")
    options: dict[str, Any] = {"commitQuorum": "majority"} if is_replica_set else {}
    database[fault.collection].create_indexes([fault.model], **options)


def _change(database: Database[dict[str, Any]], fault: Fault) -> None:
    wanted = fault.model.document

    def modify(**options: Any) -> None:
        database.command("collMod", fault.collection, index={"name": fault.there, **options})

    if "expireAfterSeconds" in fault.options:
        modify(expireAfterSeconds=wanted["expireAfterSeconds"])
    if "hidden" in fault.options:
        modify(hidden=False)
    if "unique" in fault.options:
        modify(prepareUnique=True)  # rejects new duplicates from now on
        try:
            modify(unique=True)
        except OperationFailure:
            modify(prepareUnique=False)
            raise
