"""The e-mail addresses of all users: which are not in canonical form, and which are one but for their form."""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pixora.accounts import bulk
from pixora.accounts.store import UserStore
from pixora.emails import canonical

MOST_REPORTED = 100
"""The clashes, and the users of a kind, that are told of one by one; the others are counted."""

Progress = Callable[[int], object]
"""Is told how many more users have been dealt with."""


class Member(NamedTuple):
    """A user with something wrong about the address, which is masked here."""

    user_id: str
    address: str


class Clash(NamedTuple):
    """Users whose addresses are one but for their form. `is_exact`: two of them are even spelled the same."""

    members: list[Member]
    is_exact: bool


class Survey(NamedTuple):
    """What there is.

    Attributes:
        users: How many.
        not_canonical: Of these, how many have an address in another form than it would be given today.
        clashing: Hashes, of this process, of the canonical addresses that more than one user has.
        clashes: Some of these, to be told of.
        without: The ids of some users who have no address, or one that is no text.
        without_count: How many these are.

    """

    users: int
    not_canonical: int
    clashing: frozenset[int]
    clashes: list[Clash]
    without: list[str]
    without_count: int


def survey(store: UserStore, progress: Progress) -> Survey:
    """Look at the addresses of all users: eight bytes of memory for each, and five seconds a million."""
    # Apart by their last bits, so that not all of them have to be sorted at once.
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
    """Return the form that an address should have; the one it has, where the canonical one would not last."""
    wanted = canonical(email)
    return wanted if wanted.isascii() or canonical(wanted) == wanted else email


def mask(address: str) -> str:
    """Return what may be shown of an address: its first letter and its domain."""
    name, at, domain = address.rpartition("@")
    return f"{name[:1]}…{at}{domain}" if at else f"{address[:1]}…"


def _repeated(keys: "array[int]") -> Iterator[int]:
    """Yield what is there more than once."""
    before = None
    for key in sorted(keys):
        if key == before:
            yield key
        before = key


def _clashes(store: UserStore, clashing: frozenset[int]) -> list[Clash]:
    """Return some of the clashes, with who is in them."""
    if not clashing:
        return []
    told = frozenset(sorted(clashing)[:MOST_REPORTED])
    found: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for batch in bulk.batches(store):
        for user in batch:
            if isinstance(email := user.get("email"), str) and hash(wanted := wanted_form(email)) in told:
                found[wanted].append((str(user["_id"]), email))
    return [
        Clash(
            [Member(user_id, mask(email)) for user_id, email in users[:MOST_REPORTED]],
            is_exact=len({email for _, email in users}) < len(users),
        )
        for users in found.values()
        if len(users) > 1
    ]
