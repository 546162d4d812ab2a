"""What the doctor has to say: one finding after the other, each of one check."""

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """How it stands. Only a `FAULT` makes the doctor fail."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    UNKNOWN = "unknown"


class Finding(NamedTuple):
    """What was found, in a sentence; and what to do about it, where something is. Nothing in it is secret."""

    state: State
    told: str
    advice: str = ""


def ok(told: str) -> Finding:
    """Return that all is well."""
    return Finding(State.OK, told)


def warning(told: str, advice: str) -> Finding:
    """Return what may be meant, or may come to be a fault."""
    return Finding(State.WARNING, told, advice)


def fault(told: str, advice: str) -> Finding:
    """Return what must be mended."""
    return Finding(State.FAULT, told, advice)


def unknown(told: str, advice: str = "") -> Finding:
    """Return why this could not be looked at."""
    return Finding(State.UNKNOWN, told, advice)
