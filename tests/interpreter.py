"""How long a piece of code holds the interpreter, on any machine and with any tool that watches."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

MOST_SECONDS = 0.02
"""What the worst input may take."""

REFERENCE_SECONDS = 0.0042
"""What `_reference` takes on the machine for which `MOST_SECONDS` was set."""

TRIES = 3

CLEARLY_LESS = MOST_SECONDS / 4
"""What takes less at the first try would be under `MOST_SECONDS` on a machine of a quarter of this one's speed."""


def seconds_held(action: Callable[[], object]) -> float:
    """Return the CPU time of this thread for an action, as if on the machine of the reference.

    What takes clearly less than allowed is measured once, and on this machine.
    """
    with _untraced():
        seconds = _seconds(action)
    return seconds if seconds < CLEARLY_LESS else seconds_of_longest(lambda: [action])


def seconds_of_longest(actions: Callable[[], Iterable[Callable[[], object]]]) -> float:
    """Return the same for the longest of several actions, which `actions` makes anew for each try.

    The least of a few tries, so that other work on the machine does not count; and without the tool that measures the
    coverage, which makes Python several times slower.
    """
    with _untraced():
        least = min(max(map(_seconds, actions())) for _ in range(TRIES))
        return least * REFERENCE_SECONDS / min(_seconds(_reference) for _ in range(TRIES))


@contextmanager
def _untraced() -> Iterator[None]:
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


def _seconds(action: Callable[[], object]) -> float:
    began = time.thread_time()
    action()
    return time.thread_time() - began


def _reference() -> int:
    return sum(number * number % 7 for number in range(100_000))
