"""How long tests wait. A machine that runs them beside other work may be ten times slower than a quiet one."""

import time
from collections.abc import Callable

SOON = 15
"""Seconds in which something is over that does not hang: what hangs takes half a minute, or for ever."""

LONG = 120
"""Seconds after which something that is waited for will not happen any more."""


def wait_until(condition: Callable[[], object], report: Callable[[], str] = lambda: "") -> None:
    """Wait until a condition is true; fail with a report when it has not become so after `LONG`."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, report()
        time.sleep(0.02)
