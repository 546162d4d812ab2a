"""Surveying the e-mail addresses of all users: those not in canonical form, and those that clash in it."""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pixora.accounts import bulk
from pixora.accounts.users import UserStore
from pixora.emails import canonical

MOST_REPORTED = 100
"""How many clashes, and how many users of each kind, are listed; the others are only counted."""

Progress = Callable[[int], object]
"""Takes the number of users processed since the last call."""


class Member(NamedTuple):
    """A user in a clash, with the masked address."""

    user_id: str
    address: str


class Clash(NamedTuple):
    """Users with the same canonical address; `is_exact` if two of them are even spelled the same."""

    members: list[Member]
    is_exact: bool


class Survey(NamedTuple):
    """The result of a survey."""

    users: int
    not_canonical: int  # how many of their addresses are not in canonical form
    clashing: frozenset[int]  # the hashes, in this process, of the canonical addresses that several users share
    clashes: list[Clash]  # some of these clashes
    without: list[str]  # the ids of some users without an address, or with one that is not a string
    without_count: int  # the number of such users


def survey(store: UserStore, progress: Progress) -> Survey:
    """Survey all users, with eight bytes of memory for each and five seconds for a million."""
    # Partitioned by the last bits, so that only a part has to be sorted at once.
    hashes = [array("q") for _ in range(256)]
    users = not_canonical = 0
    without: list[str] = []
    without_count = 0
    for batch in bulk.batches(store):
        for user in batch:
            email = user.get("email")
            if not isinstance(email, str):
                without_count += 1
                without += [str(user["_id"])] if without_count <= MOST_REPORTED else []
                continue
            wanted = wanted_form(email)
            not_canonical += wanted != email
            key = hash(wanted)
            hashes[key & 255].append(key)
        users += len(batch)
        progress(len(batch))
    clashing = frozenset(key for some in hashes for key in _repeated(some))
    return Survey(users, not_canonical, clashing, _clashes(store, clashing), without, without_count)


def wanted_form(email: str) -> str:
    """Return the canonical form of an address, or the address itself if its canonical form is not stable."""
    wanted = canonical(email)
    return wanted if wanted.isascii() or canonical(wanted) == wanted else email


def mask(address: str) -> str:
    """Return the first character and the domain of an address, to be shown."""
    name, at, domain = address.rpartition("@")
    return f"{name[:1]}…{at}{domain}" if at else f"{address[:1]}…"


def _repeated(keys: "array[int]") -> Iterator[int]:
    """Yield the keys that occur more than once."""
    before = None
    for key in sorted(keys):
        if key == before:
            yield key
        before = key


def _clashes(store: UserStore, clashing: frozenset[int]) -> list[Clash]:
    """Return some of the clashes, with their users."""
    if not clashing:
        return []
    listed = frozenset(sorted(clashing)[:MOST_REPORTED])
    found: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for batch in bulk.batches(store):
        for user in batch:
            if isinstance(email := user.get("email"), str) and hash(wanted := wanted_form(email)) in listed:
                found[wanted].append((str(user["_id"]), email))
    return [
        Clash(
            [Member(user_id, mask(email)) for user_id, email in users[:MOST_REPORTED]],
            is_exact=len({email for _, email in users}) < len(users),
        )
        for users in found.values()
        if len(users) > 1
    ]
