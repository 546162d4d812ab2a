"""How long tests wait. A machine that runs them beside other work may be ten times slower than a quiet one."""

SOON = 15
"""Seconds in which something is over that does not hang: what hangs takes half a minute, or for ever."""

LONG = 120
"""Seconds after which something that is waited for will not happen any more."""
