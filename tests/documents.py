"""The fenced blocks of the README and of docs/, for the tests that run or check them."""

import re
from typing import NamedTuple

from markdown_it import MarkdownIt

from tests import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))


class Block(NamedTuple):
    page: str
    line: int
    language: str
    text: str

    def __str__(self):
        return f"{self.page}:{self.line}"


class Command(NamedTuple):
    """A command of a console block, which begins with `$ `, and its documented output."""

    text: str
    printed: str


def blocks(*languages):
    """Return the blocks of all pages, in these languages or in all."""
    return [
        Block(page.name, token.map[0] + 1, token.info, token.content)
        for page in [ROOT / "README.md", *PAGES]
        for token in MarkdownIt().parse(page.read_text())
        if token.type == "fence" and not token.info.startswith("{") and (not languages or token.info in languages)
    ]


def commands(block):
    """Return the commands of a block; an `sh` block is one command, whose output is not documented."""
    if block.language == "sh":
        return [Command(block.text, "")]
    found = []
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, *printed = part.splitlines(keepends=True)
        while command.endswith("\\\n") or command.count("'") % 2:  # the command continues
            command += printed.pop(0)
        found.append(Command(command, "".join(printed)))
    return found
