"""The doctor: looks at one thing after the other, each on its own and with a deadline of its own."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

from flask import Flask

from pixora.errors import DatabaseUnavailable
from pixora.services import Services
from pixora.upkeep import accounts, outbox, proxies, server, settings
from pixora.upkeep.findings import Finding, State, fault, unknown

log = logging.getLogger(__name__)

SECONDS = 30
MINUTES = 600
"""For what looks at all users: some ten million."""

Look = Callable[[], Iterable[Finding]]


class Check(NamedTuple):
    """Something to look at. `after`: the check that must have found no fault, for this one to be worth a try."""

    look: Look
    after: str | None = None
    seconds: float = SECONDS


def checks(app: Flask, url: str | None) -> dict[str, Check]:
    """Return all checks, by name and in their order. `url`: where the service is to be asked, or None."""
    services: Services = app.extensions["services"]
    config, database = services.settings, services.database

    def on_database(look: Look, seconds: float = SECONDS) -> Check:
        return Check(look, after="database", seconds=seconds)

    return {
        "environment": Check(partial(settings.environment, config)),
        "secrets": Check(partial(settings.secrets, config)),
        "signing_key": Check(partial(settings.signing_key, config)),
        "uri": Check(partial(settings.uri, config)),
        "write_concern": Check(partial(settings.write_concern, config)),
        "database": Check(partial(server.reachable, database)),
        "version": on_database(partial(server.version, database)),
        "topology": on_database(partial(server.topology, database)),
        "clock": on_database(partial(server.clocks, database)),
        "disk": on_database(partial(server.disk, database)),
        "indexes": on_database(partial(server.indexes, database)),
        "addresses": on_database(partial(accounts.addresses, database), MINUTES),
        "hashes": on_database(partial(accounts.hashes, database, config.bcrypt_rounds), MINUTES),
        "erasures": on_database(partial(accounts.erasures, database)),
        "outbox": on_database(partial(outbox.outbox, database, config)),
        "smtp": Check(partial(outbox.smtp, config)),
        "client": Check(partial(proxies.client, url, config.secret_key, config.public_url)),
    }


def examine(app: Flask, checks: Mapping[str, Check]) -> Iterator[tuple[str, Finding]]:
    """Yield what each check finds, with its name, as it comes."""
    failed = set()
    for name, check in checks.items():
        if check.after in failed:
            yield name, unknown(f"Could not be looked at: see {check.after}.")
            continue
        for finding in _result(app, name, check):
            if finding.state is State.FAULT:
                failed.add(name)
            yield name, finding


def unconfigured(faults: Mapping[str, list[str]]) -> Iterator[tuple[str, Finding]]:
    """Yield what is wrong with a configuration with which nothing can start, and that more was not looked at."""
    for name, sentences in sorted(faults.items()):
        yield "configuration", fault(f"{name}: {' '.join(sentences)}", "Pixora does not start before it is mended.")
    yield "all else", unknown("Could not be looked at: see configuration.")


def _result(app: Flask, name: str, check: Check) -> list[Finding]:
    # In a thread, which is left alone when it takes too long: not everything that can hang has a deadline.
    result: Future[list[Finding]] = Future()

    def look() -> None:
        try:
            with app.app_context():
                result.set_result(list(check.look()))
        except Exception as error:  # noqa: BLE001  # whatever it is, the other checks go on
            result.set_exception(error)

    threading.Thread(target=look, daemon=True).start()
    try:
        return result.result(check.seconds)
    except TimeoutError:
        return [unknown(f"Could not be looked at in {check.seconds:.0f} seconds.")]
    except DatabaseUnavailable as error:
        return [unknown(f"Could not be looked at: the database does not answer ({error.reason}).")]
    except Exception as error:  # noqa: BLE001
        # Its text might have a secret in it, such as a URI.
        log.error("A check has failed.", extra={"event": "check_failed", "check": name, "cause": type(error).__name__})
        return [unknown(f"Could not be looked at ({type(error).__name__}).")]
