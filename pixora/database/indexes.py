"""The indexes that must exist before anything is served: what is wrong with those that are there, and making them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pymongo import IndexModel
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, OperationFailure

Indexes = Mapping[str, Sequence[IndexModel]]
"""By the name of the collection."""

COMPARED_OPTIONS = ("unique", "sparse", "partialFilterExpression", "expireAfterSeconds", "collation", "hidden")

CHANGEABLE_OPTIONS = ("expireAfterSeconds", "hidden", "unique")
"""What MongoDB changes in an index that is there (collMod), without building it again."""


class Fault(NamedTuple):
    """An index that is missing, or of other options than it must have: then `there` is its name, else None."""

    collection: str
    model: IndexModel
    there: str | None
    options: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name that the index has or would be given, with its collection's."""
        return f"{self.collection}.{self.there or self.model.document['name']}"

    @property
    def is_of_time(self) -> bool:
        """Whether it is only kept for another time what the index is of: it serves all the same."""
        return self.options == ("expireAfterSeconds",)

    @property
    def can_be_changed(self) -> bool:
        """Whether `change` can give the index its options, without building it again."""
        return bool(self.options) and set(self.options) <= set(CHANGEABLE_OPTIONS)


def faults(database: Database[dict[str, Any]], indexes: Indexes) -> Iterator[Fault]:
    """Yield what is wrong. An index with the keys and options of one of ours serves, whatever its name."""
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
            # The server would refuse a new one of the same name, and make one of another beside it.
            name = wanted["name"]
            if name in there:
                yield Fault(collection, model, name, unlike.get(name, ("key",)))
            else:
                yield Fault(collection, model, None, ())


def make(database: Database[dict[str, Any]], missing: Sequence[Fault]) -> None:
    """Make the indexes that are missing, without holding up those who read or write meanwhile.

    Raises:
        OperationFailure: `advice` says what to do about it.

    """
    # By default the members must all have built it, so one that is down would hold it up.
    is_replica_set = database.client.topology_description.topology_type_name.startswith("ReplicaSet")
    options: dict[str, Any] = {"commitQuorum": "majority"} if is_replica_set else {}
    for fault in missing:
        database[fault.collection].create_indexes([fault.model], **options)


def change(database: Database[dict[str, Any]], fault: Fault) -> None:
    """Give an index the options that it must have, in its place; takes seconds, and nobody waits for it.

    Raises:
        OperationFailure: it cannot have them, as a unique index over two equal values; then it is as it was.

    """
    wanted = fault.model.document

    def modify(**options: Any) -> None:
        database.command("collMod", fault.collection, index={"name": fault.there, **options})

    if "expireAfterSeconds" in fault.options:
        modify(expireAfterSeconds=wanted["expireAfterSeconds"])
    if "hidden" in fault.options:
        modify(hidden=False)
    if "unique" in fault.options:
        modify(prepareUnique=True)  # from now on no new duplicate comes in
        try:
            modify(unique=True)
        except OperationFailure:
            modify(prepareUnique=False)
            raise


def advice(error: OperationFailure) -> str:
    """Return what to do when an index could not be made."""
    if isinstance(error, DuplicateKeyError):
        return "The unique index cannot be made: two users share an e-mail address. Merge or delete one of them."
    return (
        "An index cannot be made: one of the same name or keys, with other options, is in its place. "
        f"Drop that index. MongoDB says: {error.details.get('codeName') if error.details else error.code}"
    )
