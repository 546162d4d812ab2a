"""Loads: readers (wrk), and clients that log in without a pause, each with its own IP address."""

import asyncio
import http.client
import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import bcrypt

from benchmarks.servers import CORES, Server
from tests.factories import PASSWORD

READERS = 8
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
TIMEOUT_SECONDS = 25
"""How long to wait for outstanding answers after a storm."""


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None, headers: dict[str, str]
) -> tuple[float, Any]:
    """Make a request; return the duration in seconds, and the JSON of the answer."""
    began = time.perf_counter()
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    answer = response.read()
    took = time.perf_counter() - began
    assert response.status == 200, answer
    return took, json.loads(answer)


class Reads(NamedTuple):
    """The results of wrk: requests a second, latencies in seconds, and the number of answers other than 200."""

    rate: float
    requests: int
    p50: float
    p99: float
    errors: int


def read(
    url: str, tokens: Path, seconds: float, *, connections: int = READERS, cores: Sequence[int] | set[int] = CORES
) -> Reads:
    """Read profiles over persistent connections, with the tokens of a file in turn, one a line."""
    bound = ["taskset", "--cpu-list", ",".join(map(str, cores))]
    script = str(Path(__file__).with_name("me.lua"))
    options = ["-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "20s", "-s", script]
    command = [*bound, "wrk", *options, f"{url}/api/users/me", "--", str(tokens)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Reads(**json.loads(output.split("RESULT ")[1]))


def log_in(server: Server, email: str) -> str:
    """Return an access token of a user."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("POST", "/api/auth/login", urlencode({"username": email, "password": PASSWORD}), FORM)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return str(answer["access_token"])


def bcrypt_ceiling(seconds: float, rounds: int = 12) -> float:
    """Return how many hashes a second all cores check without any other load."""
    stored = bcrypt.hashpw(b"x", bcrypt.gensalt(rounds))
    rates: list[float] = []

    def check() -> None:
        began, checked = time.monotonic(), 0
        while time.monotonic() - began < seconds:
            bcrypt.checkpw(b"x", stored)
            checked += 1
        rates.append(checked / (time.monotonic() - began))

    threads = [threading.Thread(target=check) for _ in CORES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)


class Answer(NamedTuple):
    """The times of a request and of its answer, by `time.monotonic`, and the status; 0 without an answer."""

    sent: float
    came: float
    status: int


class Storm:
    """Clients that log in without a pause, whatever the answer, each on its own connection.

    Args:
        port: The port of the service.
        emails: The e-mail address of each client.
        addresses: The IP address of each client; by default they share one.

    """

    def __init__(self, port: int, emails: Sequence[str], addresses: Sequence[str] | None = None) -> None:
        self.port = port
        self.answers: list[Answer] = []
        self.ends = 0.0
        self._requests = [_login_request(email) for email in emails]
        self._addresses = addresses or ["127.0.0.1"] * len(emails)

    def run(self, seconds: float) -> None:
        """Run the storm for `seconds`, then wait for the last answers."""
        self.ends = time.monotonic() + seconds
        asyncio.run(self._run())

    @contextmanager
    def beside(self, seconds: float, lead: float) -> Iterator[None]:
        """Run the storm for `seconds`, and the `with` block from `lead` seconds on until the storm is over."""
        thread = threading.Thread(target=self.run, args=(seconds,))
        thread.start()
        time.sleep(lead)
        try:
            yield
        finally:
            thread.join()

    def rate(self, status: int, lead: float) -> float:
        """Return the answers with this status a second, from `lead` seconds after the first request to the end."""
        begins = self._begin() + lead
        came = sum(begins <= answer.came <= self.ends for answer in self.answers if answer.status == status)
        return came / (self.ends - begins)

    def rate_to_the_last(self, status: int) -> float:
        """Return the answers with this status a second, from the first request to the last such answer.

        This includes requests that were outstanding at the end, and their time: a thread pool answers in batches, and a
        fixed window would count one batch more or less.
        """
        times = [answer.came for answer in self.answers if answer.status == status]
        return len(times) / (max(times) - self._begin()) if times else 0.0

    def _begin(self) -> float:
        return min(answer.sent for answer in self.answers)

    def count(self, *statuses: int) -> int:
        """Return the number of answers with one of these statuses."""
        return sum(answer.status in statuses for answer in self.answers)

    def longest(self) -> float:
        """Return the longest time to an answer in seconds; without an answer, the time until the client gave up."""
        return max(answer.came - answer.sent for answer in self.answers)

    async def _run(self) -> None:
        clients = zip(self._requests, self._addresses, strict=True)
        async with asyncio.TaskGroup() as group:
            for request, address in clients:
                group.create_task(self._client(request, address))

    async def _client(self, request: bytes, address: str) -> None:
        loop = asyncio.get_running_loop()
        while time.monotonic() < self.ends:
            began = time.monotonic()
            try:
                _, client = await loop.create_connection(
                    lambda: _Client(self, request), "127.0.0.1", self.port, local_addr=(address, 0)
                )
            except OSError:
                self.answers.append(Answer(began, time.monotonic(), 0))
                await asyncio.sleep(0.05)
                continue
            try:
                await asyncio.wait_for(client.over, self.ends - time.monotonic() + TIMEOUT_SECONDS)
            except TimeoutError:
                client.give_up()


class _Client(asyncio.Protocol):
    """A connection that sends its request again after each answer."""

    def __init__(self, storm: Storm, request: bytes) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._storm = storm
        self._request = request
        self._received = b""
        self._sent = 0.0
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = CONTENT_LENGTH.search(head)
        if not separator or length is None or len(body) < int(length[1]):
            return
        self._received = b""
        self._note(int(head[9:12]))
        if time.monotonic() < self._storm.ends and b"connection: close" not in head.lower():
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._sent:
            self._note(0)
        if not self.over.done():
            self.over.set_result(None)

    def give_up(self) -> None:
        """Stop waiting."""
        self._transport.abort()

    def _send(self) -> None:
        self._sent = time.monotonic()
        self._transport.write(self._request)

    def _note(self, status: int) -> None:
        self._storm.answers.append(Answer(self._sent, time.monotonic(), status))
        self._sent = 0.0


def _login_request(email: str) -> bytes:
    body = urlencode({"username": email, "password": PASSWORD})
    return (
        "POST /api/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
