"""The doctor runs independent checks one after another, each with its own deadline."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

from flask import Flask

from pixora.errors import DatabaseUnavailable
from pixora.services import Services
from pixora.upkeep import accounts, data_keys, outbox, passkeys, proxies, server, settings
from pixora.upkeep.findings import Finding, State, fault, unknown

log = logging.getLogger(__name__)

SECONDS = 30
MINUTES = 600
"""For checks that read all users: enough for about ten million."""


class Check(NamedTuple):
    """A check, the time it may take, and the check it depends on: if that one finds a fault, this one is skipped."""

    find: Callable[[], Iterable[Finding]]
    seconds: float = SECONDS
    after: str | None = None


def checks(services: Services, url: str | None) -> dict[str, Check]:
    """Return all checks by name, in order; `url` is where clients reach the service."""
    config, database = services.settings, services.database
    return {
        "environment": Check(partial(settings.environment, config)),
        "secrets": Check(partial(settings.secrets, config)),
        "signing_key": Check(partial(settings.signing_key, services)),
        "uri": Check(partial(settings.uri, config)),
        "write_concern": Check(partial(settings.write_concern, config)),
        "database": Check(partial(server.reachable, database)),
        "version": Check(partial(server.version, database), after="database"),
        "topology": Check(partial(server.topology, database), after="database"),
        "clock": Check(partial(server.clocks, database), after="database"),
        "disk": Check(partial(server.disk, database), after="database"),
        "indexes": Check(partial(server.indexes, database), after="database"),
        "addresses": Check(partial(accounts.addresses, services.users), MINUTES, after="database"),
        "hashes": Check(
            partial(
                accounts.hashes,
                services.users,
                config.bcrypt_rounds,
                with_passkeys=bool(config.webauthn_origins),
            ),
            MINUTES,
            after="database",
        ),
        "erasures": Check(partial(accounts.erasures, services.erasure), after="database"),
        "second_factors": Check(partial(data_keys.second_factors, services), MINUTES, after="database"),
        "passkeys": Check(partial(passkeys.domain, services.passkeys, config), MINUTES, after="database"),
        "outbox": Check(partial(outbox.late_emails, services.outbox, config), after="database"),
        "smtp": Check(partial(outbox.smtp, config)),
        "client": Check(partial(proxies.client, url, config.secret_key, config.public_url)),
        "passkey_documents": Check(partial(passkeys.published, url, config), MINUTES),
    }


def examine(app: Flask, checks: Mapping[str, Check]) -> Iterator[tuple[str, Finding]]:
    """Run the checks and yield each finding with the name of its check."""
    failed = set()
    for name, check in checks.items():
        if check.after in failed:
            yield name, unknown(f"Could not be checked: see {check.after}.")
            continue
        for finding in _findings(app, name, check):
            if finding.state is State.FAULT:
                failed.add(name)
            yield name, finding


def unconfigured(faults: Mapping[str, list[str]]) -> Iterator[tuple[str, Finding]]:
    """Yield the faults of a configuration with which nothing can start; no other check can be made."""
    for name, sentences in sorted(faults.items()):
        yield "configuration", fault(f"{name}: {' '.join(sentences)}", "Correct it: Pixora does not start before.")
    yield "all else", unknown("Could not be checked: see configuration.")


def _findings(app: Flask, name: str, check: Check) -> list[Finding]:
    # Not everything that can hang has a deadline, so the check runs in a thread that is abandoned when time is up.
    result: Future[list[Finding]] = Future()

    def run() -> None:
        try:
            with app.app_context():
                result.set_result(list(check.find()))
        except Exception as error:  # noqa: BLE001  # the other checks go on
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return result.result(check.seconds)
    except TimeoutError:
        return [unknown(f"Could not be checked within {check.seconds:.0f} seconds.")]
    except DatabaseUnavailable as error:
        return [unknown(f"Could not be checked: the database does not answer ({error.reason}).")]
    except Exception as error:  # noqa: BLE001
        # The error's text may contain a secret, such as a URI.
        log.error("A check has failed.", extra={"event": "check_failed", "check": name, "cause": type(error).__name__})
        return [unknown(f"Could not be checked ({type(error).__name__}).")]
