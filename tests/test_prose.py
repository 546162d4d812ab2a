"""The plain English of the house: phrases that make a reader stop, and what to write in their place.

Only what a machine can find. People find the rest by reading aloud.
"""

import re

import pytest

from tests.documents import ROOT

PHRASES = {
    r"whoever": "name the subject: the caller, the client, the reporter",
    r"for want of": "because there is no",
    r"as ever": "as usual, or say what happens",
    r"told of": "reported, recorded",
    r"is told so": "gets an error",
    r"who is gone": "a deleted user",
    r"used up": "used",
    r"(?:is|are) good once": "can be used once",
    r"good no more": "no longer valid",
    r"sees? to it": "ensure",
    r"at hand": "current, available",
    r"lest": "so that … not",
    r"thereby": "say how",
    r"as it came": "the raw value",
    r"hashing room": "hashing queue",
    r"made anew": "created again",
}
"""What design reviews kept finding. Each is plain somewhere else; here it was always a riddle."""

FILES = sorted(
    path
    for pattern in (
        *("pixora/**/*.py", "pixora/templates/**/*.*", "*.py", "*.md", "docs/*.md"),
        *("script/*", "benchmarks/*.py", "deploy/*"),
    )
    for path in ROOT.glob(pattern)
    if path.is_file() and path.name != "CHANGELOG.md"
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_is_free_of_phrases_that_make_a_reader_stop(path):
    text = " ".join(path.read_text().split())
    found = {
        match[0]: better
        for phrase, better in PHRASES.items()
        if (match := re.search(rf"\b{phrase}\b", text, re.IGNORECASE))
    }
    assert found == {}
