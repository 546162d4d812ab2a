"""Formatting of medians and ratios of medians with their spread."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median


def spread(values: Sequence[float], write: Callable[[float], str]) -> str:
    """Return the median of several rounds with their minimum and maximum."""
    if len(values) == 1:
        return write(values[0])
    return f"{write(median(values))} ({write(min(values))} to {write(max(values))})"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Return the ratio of the medians with the minimum and maximum of the rounds' ratios."""
    if len(ours) == 1 or ours == theirs:
        return f"{median(ours) / median(theirs):.2f}"
    each = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return f"{median(ours) / median(theirs):.2f} ({min(each):.2f} to {max(each):.2f})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, with all columns but the first right-aligned."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def alone_note(ceilings: Sequence[float]) -> str:
    """Return a warning if the speed of bcrypt alone has varied, because other programs were running."""
    if max(ceilings) <= 1.1 * min(ceilings):
        return ""
    return " **The speed of bcrypt alone varied: other programs were running, so measure again.**"
