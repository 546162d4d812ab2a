"""The worst requests of four clients: to each route what takes longest to reject, without a pause.

Eight clients read their profiles meanwhile, with and without the attack in turn, with the default limits. Four clients
that only read show the effect of any four clients. The worst inputs of a route are those of
`tests/test_worst_inputs.py` and `tests/passwords/test_policy.py`.
"""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bcrypt

from benchmarks.figures import median, ratio, spread, table
from benchmarks.load import FORM, READERS, log_in, read
from benchmarks.servers import PIXORA, Bench, Server, seed, started
from tests.factories import PASSWORD, signup_body

CLIENTS = 4
COST = 10
READ_SECONDS = 5
ROUNDS = 3
LEAD = 1
LIMITS = {
    "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP": "10 per 15 minute",
    "THROTTLE_LOGIN_PER_ACCOUNT": "100 per hour",
    "THROTTLE_LOGIN_PER_IP": "60 per 15 minute",
}
JSON = {"Content-Type": "application/json"}
LEET = ("4@8({[</369&#!1/|0$5+7%2/" * 4)[:72]
MARKS = "a" + "\u0301\u0316" * 3900 + "@example.com"

NOTHING = "nothing: four more who read"

Attack = tuple[str, str, bytes, dict[str, str]]


def _json(path: str, body: Any, **headers: str) -> Attack:
    return "POST", path, json.dumps(body, ensure_ascii=False).encode(), JSON | headers


def _attacks(token: str) -> dict[str, list[Attack]]:
    bearer = {"Authorization": f"Bearer {token}"}
    return {
        NOTHING: [("GET", "/api/users/me", b"", bearer)],
        "sign-up": [
            _json("/api/auth/signup", signup_body(email="new@example.com", password=LEET)),
            _json("/api/auth/signup", signup_body(first_name=MARKS)),
            _json("/api/auth/signup", signup_body(contact="+44" + " x1" * 16)),
            _json("/api/auth/signup", {f"{number:x}": 0 for number in range(1400)}),
        ],
        "login": [
            ("POST", "/api/auth/login", b"&" * 16_000, FORM),
            ("POST", "/api/auth/login", b"username=" + b"%cc%81" * 2600 + b"&password=x", FORM),
        ],
        "reset": [
            _json("/api/auth/password-reset", {"email": MARKS}),
            _json("/api/auth/password-reset/confirm", {"token": "a" * 15_000, "new_password": LEET}),
        ],
        "change of password": [
            _json("/api/users/me/password", {"current_password": "wrong", "new_password": LEET}, **bearer)
        ],
    }


class Attackers:
    """Clients that send the worst inputs of a route in turn, each on its own connection."""

    def __init__(self, server: Server, attacks: list[Attack]) -> None:
        self.statuses: Counter[int] = Counter()
        self._port = server.port
        self._attacks = attacks
        self._stop = threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Attack while the `with` block runs."""
        threads = [threading.Thread(target=self._attack) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        time.sleep(LEAD)
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _attack(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self._stop.is_set():
            for method, path, body, headers in self._attacks:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                response.read()
                self.statuses[response.status] += 1
        connection.close()


def run(bench: Bench) -> dict[str, Any]:
    """Return for each route the results of readers and attackers, by round."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(COST)).decode()
    emails = seed(bench, PIXORA, "worst", READERS + 1, hashed)
    found: dict[str, Any] = {}
    with started(bench, PIXORA, "worst", BCRYPT_ROUNDS=str(COST), **LIMITS) as server:
        tokens = bench.folder / "worst.tokens"
        tokens.write_text("\n".join(log_in(server, email) for email in emails[:READERS]))
        read(server.url, tokens, 1)
        for name, attacks in _attacks(log_in(server, emails[-1])).items():
            rounds: dict[str, Any] = {"alone": [], "beside": [], "p99": [], "statuses": Counter()}
            for _ in range(ROUNDS):
                rounds["alone"].append(read(server.url, tokens, READ_SECONDS).rate)
                attackers = Attackers(server, attacks)
                with attackers.at_work():
                    reads = read(server.url, tokens, READ_SECONDS)
                rounds["beside"].append(reads.rate)
                rounds["p99"].append(reads.p99)
                rounds["statuses"] += attackers.statuses
            found[name] = rounds
    return found


def report(found: dict[str, Any]) -> str:
    """Return the table and a summary."""
    rows = [
        [
            name,
            spread(rounds["alone"], "{:.0f}".format),
            spread(rounds["beside"], "{:.0f}".format),
            ratio(rounds["beside"], rounds["alone"]),
            spread(rounds["p99"], lambda seconds: f"{seconds * 1000:.0f} ms"),
            ", ".join(f"{status}: {many}" for status, many in sorted(rounds["statuses"].items())),
        ]
        for name, rounds in found.items()
    ]
    head = ["the worst for", "reads a second, undisturbed", "beside", "ratio", "p99", "what the four were answered"]
    ratios = {name: median(rounds["beside"]) / median(rounds["alone"]) for name, rounds in found.items()}
    least = min(kept for name, kept in ratios.items() if name != NOTHING)
    return f"{table(head, rows)}\n\nBeside these attacks, reads keep {least:.2f} of their rate or more."
