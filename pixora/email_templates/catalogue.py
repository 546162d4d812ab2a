"""The templates by language: the files of `MAIL_TEMPLATES` in the place of ours."""

from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from jinja2 import Template, TemplateNotFound

from pixora.accounts.outbox import TEMPLATES
from pixora.email_templates import language as subset
from pixora.email_templates.faults import TemplateFault
from pixora.tokens.one_time import Purpose
from pixora.web.languages import candidates, canonical

OURS = Path(__file__).parents[1] / "templates" / "mail"
OUR_LANGUAGE = "en"
"""The language in which we have every template."""

LAYOUTS = ("layout.txt", "layout.html")
LAYOUT_VARIABLES = frozenset(
    {"subject", subset.PARTS, "link", "service", "language", "direction", "color", "text_color", "logo"}
)
_ALWAYS = frozenset({"service", "when", "first_name", "last_name"})
_WITH_LINK = frozenset({"lasts", "until"})
_OTHERS = {
    "address_taken": frozenset({"new_link_url"}),
    "email_changing": frozenset({"new_email"}),
    "email_changed": frozenset({"new_email"}),
    "account_changed": frozenset({"changes"}),
    "recovery_code_used": frozenset({"codes_left", "few_codes_left"}),
}


def has_link(name: str) -> bool:
    """Return whether the e-mails of a template have a link. Its one-time token has the purpose of this name."""
    return name in {purpose.value for purpose in Purpose}


def variables(name: str) -> frozenset[str]:
    """Return the names of the variables of a template."""
    return _ALWAYS | (_WITH_LINK if has_link(name) else frozenset()) | _OTHERS.get(name, frozenset())


class Found(NamedTuple):
    """A template: its language, the compiled file, and where the file is."""

    language: str
    template: Template
    path: Path

    @property
    def is_ours(self) -> bool:
        """Whether the file is one of ours."""
        return self.path.is_relative_to(OURS)


class Catalogue:
    """All templates, read and checked once: those of a directory at once, ours when they are first used.

    A worker of gunicorn renders no e-mail, and to compile our templates takes longer than the rest of an application.
    """

    def __init__(self, directory: Path | None, default_language: str) -> None:
        self._default = default_language
        self._theirs = tuple(_read_all(directory)) if directory else ()

    @cached_property
    def _files(self) -> dict[tuple[str, str], Found]:
        return {(found.language, name): found for found, name in (*_ours(), *self._theirs)}

    @property
    def languages(self) -> set[str]:
        """The languages of which there is at least one e-mail."""
        return {language for language, name in self._files if language and name not in LAYOUTS}

    def find(self, name: str, languages: Iterable[str] = ()) -> Found:
        """Return the template of an e-mail in the first of these languages that has one, or else in the default one.

        Raises:
            TemplateNotFound: There is no such e-mail. An older version reads what a newer one has queued.

        """
        return self._find(f"{name}.txt", [*candidates(languages), *candidates([self._default]), OUR_LANGUAGE])

    def layout(self, name: str, language: str) -> Template:
        """Return one of `LAYOUTS` for e-mails in a language."""
        return self._find(name, [*candidates([language]), ""]).template

    def __iter__(self) -> Iterator[tuple[str, Found]]:
        """Yield every file, with its name."""
        return ((name, found) for (_, name), found in self._files.items())

    def _find(self, name: str, languages: Iterable[str]) -> Found:
        for language in languages:
            if found := self._files.get((language, name)):
                return found
        raise TemplateNotFound(name)


@cache
def _ours() -> tuple[tuple[Found, str], ...]:
    """Return our templates, compiled once in a process."""
    return tuple(_read_all(OURS))


def _read_all(folder: Path) -> Iterator[tuple[Found, str]]:
    """Yield the templates of a folder; `language` is empty for a layout of all languages.

    Raises:
        TemplateFault: A file or folder has an unknown name, or a template is not valid.

    """
    for path in _listed(folder):
        if path.is_dir():
            try:
                language = canonical(path.name)
            except ValueError as error:
                raise TemplateFault(path, None, "the name is not a language, as in de or de-AT.") from error
            for file in _listed(path):
                yield _read(file, language), file.name
        elif path.suffix in (".txt", ".html"):
            yield _read(path, ""), path.name


def _listed(folder: Path) -> list[Path]:
    """Return the visible entries of a folder: Kubernetes keeps the files of a volume in a hidden folder."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise TemplateFault(folder, None, f"it cannot be read ({error.strerror}).") from error


def _read(path: Path, language: str) -> Found:
    is_layout = path.name in LAYOUTS
    names = [f"{name}.txt" for name in TEMPLATES] if language else []
    if not is_layout and path.name not in names:
        known = ", ".join([*names, *LAYOUTS])
        raise TemplateFault(path, None, f"there is no such template. Use one of {known}.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TemplateFault(path, None, f"it cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        line = path.read_bytes().count(b"\n", 0, error.start) + 1
        raise TemplateFault(path, line, "it is not UTF-8.") from error
    names_of_variables = LAYOUT_VARIABLES if is_layout else variables(path.stem)
    subset.check(path, text, names_of_variables, is_layout=is_layout)
    if not is_layout:
        _check_subject(path, text)
    environment = subset.environment()
    code = environment.compile(text, name=path.name, filename=str(path))
    return Found(language, Template.from_code(environment, code, {}, None), path)


def _check_subject(path: Path, text: str) -> None:
    lines = text.splitlines()
    if not lines or not lines[0].strip() or lines[0].startswith("->") or any(line.strip() for line in lines[1:2]):
        raise TemplateFault(path, 1, "the subject is missing. It is the first line, and the second line is empty.")
