"""Medians, ratios of medians, and how they are written with their spread."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median


def spread(values: Sequence[float], write: Callable[[float], str]) -> str:
    """Return the median of several rounds, and between which two values they were."""
    if len(values) == 1:
        return write(values[0])
    return f"{write(median(values))} ({write(min(values))} to {write(max(values))})"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Return the ratio of the medians, and between which two the ratios of the single rounds were."""
    if len(ours) == 1 or ours == theirs:
        return f"{median(ours) / median(theirs):.2f}"
    each = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return f"{median(ours) / median(theirs):.2f} ({min(each):.2f} to {max(each):.2f})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown, all columns but the first to the right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def verdict(value: float, *, least: float | None = None, most: float | None = None) -> str:
    """Return what is asked of a value, and whether it is so."""
    if least is not None:
        return f"≥ {least:g}: {'met' if value >= least else 'NOT met'}"
    return f"≤ {most:g}: {'met' if most is not None and value <= most else 'NOT met'}"


def alone_note(ceilings: Sequence[float]) -> str:
    """Return a warning when bcrypt alone was not equally fast all the time: then something else was running."""
    if max(ceilings) <= 1.1 * min(ceilings):
        return ""
    return " **bcrypt alone was not always as fast: something else was running, so measure again.**"
