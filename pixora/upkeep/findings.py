"""Findings: what each check of the doctor reports."""

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """The result of a check. Only a `FAULT` makes the doctor fail."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    UNKNOWN = "unknown"


class Finding(NamedTuple):
    """A result in one sentence, and advice where there is something to do. Contains no secrets."""

    state: State
    message: str
    advice: str = ""


def ok(message: str) -> Finding:
    """Report that nothing needs to be done."""
    return Finding(State.OK, message)


def warning(message: str, advice: str) -> Finding:
    """Report something that may be intended or may become a fault."""
    return Finding(State.WARNING, message, advice)


def fault(message: str, advice: str) -> Finding:
    """Report something that must be fixed."""
    return Finding(State.FAULT, message, advice)


def unknown(message: str, advice: str = "") -> Finding:
    """Report why a check could not be made."""
    return Finding(State.UNKNOWN, message, advice)
