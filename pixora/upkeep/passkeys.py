"""The doctor's checks of passkeys: they belong to our domain, and clients find the documents about them there."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from config import Settings
from pixora.accounts.passkeys import PasskeyStore
from pixora.system.passkey_documents import documents
from pixora.upkeep.fetching import Answer, Unreachable, fetch
from pixora.upkeep.findings import Finding, fault, ok, unknown, warning

COUNT_SECONDS = 60.0
FORWARD = "Let the web server there pass this path on to Pixora, which runs with the settings of the doctor."


def domain(store: PasskeyStore, settings: Settings) -> Iterator[Finding]:
    """Check that the passkeys of users were made for `WEBAUTHN_RP_ID`: others do not work."""
    counts = store.count_by_rp_id(COUNT_SECONDS)
    number = sum(counts.values())
    ours = settings.webauthn_rp_id
    others = {name: many for name, many in counts.items() if name not in (ours, None)}
    if not settings.webauthn_origins:
        if number:
            yield warning(
                f"WEBAUTHN_ORIGINS is not set, and users have {number:,} passkeys that they cannot use.",
                "Set it, or remove the passkeys: flask --app wsgi users reset-factors USER",
            )
        else:
            yield ok("WEBAUTHN_ORIGINS is not set: nobody can have a passkey.")
        return
    if others:
        named = ", ".join(f"{name}: {many:,}" for name, many in sorted(others.items()))
        yield fault(
            f"{sum(others.values()):,} of {number:,} passkeys do not work: they were made for another domain than "
            f"WEBAUTHN_RP_ID, {ours} ({named}).",
            "Set WEBAUTHN_RP_ID back to theirs. If it must change, their owners have to add new passkeys.",
        )
    if many := counts.get(None):
        yield unknown(f"{many:,} of {number:,} passkeys do not say for which domain they were made.")
    if not others and not many:
        yield ok(f"All {number:,} passkeys were made for WEBAUTHN_RP_ID, {ours}.")


def published(url: str | None, settings: Settings) -> Iterator[Finding]:
    """Check the well-known documents at the URL of the service and, behind TLS, where clients look for them."""
    wanted = documents(settings) if settings.webauthn_origins else {}
    if not wanted:
        yield ok("No page and no app needs a document about passkeys.")
        return
    if not url:
        yield unknown("The documents about passkeys were not checked.", "Pass --url, or set PUBLIC_URL.")
        return
    places = [url.rstrip("/")]
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.netloc != settings.webauthn_rp_id:
        places.append(f"https://{settings.webauthn_rp_id}")
    for place in places:
        yield from _at(place, wanted)


def _at(place: str, wanted: dict[str, Any]) -> Iterator[Finding]:
    is_right = True
    for name, document in wanted.items():
        path = f"/.well-known/{name}"
        try:
            answer = fetch(place, path)
        except Unreachable as error:
            yield unknown(
                f"{place} cannot be reached ({error}), where clients look for {path}.", "Check its web server."
            )
            return
        if finding := _judge(f"{place}{path}", answer, document):
            is_right = False
            yield finding
    if is_right:
        yield ok(f"{place} has the documents about passkeys: {', '.join(wanted)}.")


def _judge(url: str, answer: Answer, document: Any) -> Finding | None:
    if 300 <= answer.status < 400:
        return fault(f"{url} redirects ({answer.status}), and clients do not follow.", FORWARD)
    if answer.status != 200:
        return fault(f"{url} answers with status {answer.status}.", FORWARD)
    if answer.headers.get_content_type() != "application/json":
        return fault(f"{url} has the type {answer.headers.get_content_type()}, and must be application/json.", FORWARD)
    try:
        is_right = _has(json.loads(answer.body), document)
    except (ValueError, RecursionError):
        is_right = False
    if not is_right:
        advice = "Restart the service with the settings of the doctor; add what is missing if the file is your own."
        return fault(f"{url} does not have all that the settings say.", advice)
    return None


def _has(found: Any, wanted: Any) -> bool:
    """Tell whether a document has all of another one. The owner of the domain may add more."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_has(found.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and all(any(_has(one, value) for one in found) for value in wanted)
    return bool(found == wanted)
