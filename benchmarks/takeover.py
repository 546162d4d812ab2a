"""Taking over the users of another service, a million of them: each piece in a module of its own."""

from typing import Any

from benchmarks import upgrading
from benchmarks.servers import Bench

PIECES: dict[str, Any] = {piece.__name__.split(".")[1]: piece for piece in (upgrading,)}


def run(bench: Bench) -> dict[str, Any]:
    """Return the results of all pieces, by name."""
    return {name: piece.run(bench) for name, piece in PIECES.items()}


def report(result: dict[str, Any]) -> str:
    """Return what each piece is, and its tables."""
    return "\n\n".join(f"{PIECES[name].__doc__}\n{PIECES[name].report(found)}" for name, found in result.items())
