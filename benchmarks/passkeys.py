"""Logins with a passkey: their CPU, and their latency beside a storm of logins with passwords.

A passkey needs no hash, so it does not wait for the hashing queue. The CPU is that of sequential logins on one worker,
minus that of an idle server. Beside the storm of 64 clients, who ignore Retry-After, one client logs in with passkeys,
at most 50 times a second. At last 10,000 anonymous requests for options, after which the service has as many file
descriptors as before, about the same memory, and no document more.
"""

import http.client
import json
import time
from pathlib import Path
from typing import Any

import bcrypt

from benchmarks.figures import spread, table
from benchmarks.load import Storm, ask
from benchmarks.servers import FIRST, PIXORA, Bench, Server, cpu, seed, started
from pixora.passkeys import public_keys
from pixora.passkeys.fields import encode
from tests.passkeys.authenticator import ORIGIN, RP_ID, Authenticator

USERS = 100
CLIENTS = 64
COST = 12
LOGINS = 1_000
IDLE_SECONDS = 3
LEAD, STORM_SECONDS, ROUNDS = 3, 15, 3
PAUSE = 0.02
OPTIONS = 10_000
SETTINGS = {"WEBAUTHN_RP_ID": RP_ID, "WEBAUTHN_ORIGINS": ORIGIN}
JSON = {"Content-Type": "application/json"}
LOGIN = "/api/auth/passkeys"


def run(bench: Bench) -> dict[str, Any]:
    """Return the CPU seconds of a login, the latencies of logins by round, and what the options have left behind."""
    hashed = bcrypt.hashpw(b"not used", bcrypt.gensalt(COST)).decode()
    emails = seed(bench, PIXORA, "passkeys", USERS + CLIENTS, hashed)
    authenticators = _enrol(bench.mongo["passkeys"]["users"], emails[:USERS])
    with started(bench, PIXORA, "passkeys", cores=FIRST, **SETTINGS) as server:
        found: dict[str, Any] = _cpu(bench, server, authenticators)
        found |= _options(bench, server)
    found |= {"alone": [], "beside": [], "storm": []}
    with started(bench, PIXORA, "passkeys", **SETTINGS) as server:
        for _ in range(ROUNDS):
            found["alone"].append(_latencies(server, authenticators, STORM_SECONDS / 2))
            storm = Storm(server.port, emails[USERS:])
            with storm.beside(LEAD + STORM_SECONDS + 1, lead=LEAD):
                found["beside"].append(_latencies(server, authenticators, STORM_SECONDS))
            found["storm"].append(len(storm.answers) / (LEAD + STORM_SECONDS + 1))
    return found


def _enrol(users: Any, emails: list[str]) -> list[Authenticator]:
    """Give each user a passkey, as a registration stores it."""
    authenticators = []
    for user in users.find({"email": {"$in": emails}}, {"created_at": 1}):
        one = Authenticator(handle=encode(user["_id"].encode()))
        passkey = {
            "id": user["_id"],
            "credential_id": one.credential_id,
            "public_key": public_keys.encode(one.cose()),
            "sign_count": 0,
            "name": "Passkey",
            "transports": ["internal"],
            "aaguid": "00000000-0000-0000-0000-000000000000",
            "rp_id": RP_ID,
            "backup_eligible": False,
            "backed_up": False,
            "created_at": user["created_at"],
            "last_used_at": None,
        }
        users.update_one({"_id": user["_id"]}, {"$set": {"passkeys": [passkey], "email_verified": True}})
        authenticators.append(one)
    return authenticators


def _prepare(connection: http.client.HTTPConnection, authenticator: Authenticator) -> str:
    """Return the body of a login."""
    _, options = ask(connection, "POST", f"{LOGIN}/options", None, {})
    return json.dumps({"credential": authenticator.get(options)})


def _cpu(bench: Bench, server: Server, authenticators: list[Authenticator]) -> dict[str, Any]:
    """Return the CPU seconds of a login in the service and in mongod."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    many = LOGINS // USERS
    seconds: dict[str, list[float]] = {"service": [], "database": []}
    bodies = [_prepare(connection, one) for one in authenticators]
    for body in bodies:  # the first logins load what later ones need
        ask(connection, "POST", f"{LOGIN}/login", body, JSON)
    began, idle = (server.cpu(), cpu(bench.mongod.pid)), time.monotonic()
    time.sleep(IDLE_SECONDS)
    idled = [(after - before) / (time.monotonic() - idle) for before, after in _both(bench, server, began)]
    for _ in range(many):
        bodies = [_prepare(connection, one) for one in authenticators]
        began, at = (server.cpu(), cpu(bench.mongod.pid)), time.monotonic()
        for body in bodies:
            ask(connection, "POST", f"{LOGIN}/login", body, JSON)
        took = time.monotonic() - at
        for name, (before, after), rest in zip(seconds, _both(bench, server, began), idled, strict=True):
            seconds[name].append((after - before - rest * took) / len(bodies))
    connection.close()
    return {"cpu": seconds}


def _both(bench: Bench, server: Server, began: tuple[float, float]) -> list[tuple[float, float]]:
    return list(zip(began, (server.cpu(), cpu(bench.mongod.pid)), strict=True))


def _latencies(server: Server, authenticators: list[Authenticator], seconds: float) -> list[float]:
    """Log in with passkeys in turn for so many seconds; return p50, p99 and the longest time of a login."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    ends, times = time.monotonic() + seconds, []
    while time.monotonic() < ends:
        body = _prepare(connection, authenticators[len(times) % USERS])
        took, _ = ask(connection, "POST", f"{LOGIN}/login", body, JSON)
        times.append(took)
        time.sleep(PAUSE)
    connection.close()
    times.sort()
    return [times[len(times) // 2], times[len(times) * 99 // 100], times[-1]]


def _options(bench: Bench, server: Server) -> dict[str, Any]:
    """Ask for options; return the seconds, and the file descriptors, bytes of memory and documents before and after."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for _ in range(OPTIONS // 10):
        ask(connection, "POST", f"{LOGIN}/options", None, {})
    before, began = _left(bench, server), time.monotonic()
    for _ in range(OPTIONS):
        ask(connection, "POST", f"{LOGIN}/options", None, {})
    took = time.monotonic() - began
    after = _left(bench, server)
    connection.close()
    return {"options": {"seconds": took, "before": before, "after": after}}


def _left(bench: Bench, server: Server) -> list[int]:
    descriptors = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in server.processes())
    database = bench.mongo["passkeys"]
    documents = sum(database[name].estimated_document_count() for name in database.list_collection_names())
    return [descriptors, server.usage().rss, documents]


def report(found: dict[str, Any]) -> str:
    """Return the tables."""

    def milliseconds(seconds: float) -> str:
        return f"{seconds * 1000:.1f} ms"

    rows = [
        [name, *(spread([each[place] for each in found[key]], milliseconds) for place in range(3))]
        for name, key in (("undisturbed", "alone"), ("beside the storm", "beside"))
    ]
    service, database = (spread(found["cpu"][name], milliseconds) for name in ("service", "database"))
    options = found["options"]
    (descriptors, memory, documents), after = options["before"], options["after"]
    return (
        f"CPU of a login: {service} in the service, {database} in mongod.\n\n"
        f"{table(['logins with a passkey', 'p50', 'p99', 'longest'], rows)}\n\n"
        f"The storm: {spread(found['storm'], '{:.0f}'.format)} answers a second.\n\n"
        f"{OPTIONS:,} options took {options['seconds']:.1f} s: {after[0] - descriptors:+} file descriptors, "
        f"{(after[1] - memory) / 1e6:+.1f} MB, {after[2] - documents:+} documents."
    )
