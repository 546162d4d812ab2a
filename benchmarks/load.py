"""Loads: readers, which are wrk, and clients that log in without a pause, each from an address of its own."""

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
from typing import NamedTuple
from urllib.parse import urlencode

import bcrypt

from benchmarks.servers import CORES, Server
from tests.factories import PASSWORD

READERS = 8
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
TIMEOUT_SECONDS = 25
"""For the answers still to come when a storm is over."""


class Reads(NamedTuple):
    """What wrk saw: requests a second, latencies in seconds, and how many were not answered with 200."""

    rate: float
    requests: int
    p50: float
    p99: float
    errors: int


def read(
    url: str, tokens: Path, seconds: float, *, connections: int = READERS, cores: Sequence[int] | set[int] = CORES
) -> Reads:
    """Read profiles over kept-alive connections, the tokens of a file in turn, a line each."""
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
    """Return how many hashes a second all cores check when they do nothing else."""
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
    """When a request was sent, when it was answered, by `time.monotonic`, and the status; 0 for none."""

    sent: float
    came: float
    status: int


class Storm:
    """Clients that log in without a pause, whatever they are answered, each on a connection of its own.

    Args:
        port: Of the service.
        emails: Of the clients, one for each.
        addresses: Where the clients come from, one for each; by default they share one.

    """

    def __init__(self, port: int, emails: Sequence[str], addresses: Sequence[str] | None = None) -> None:
        self.port = port
        self.answers: list[Answer] = []
        self.ends = 0.0
        self._requests = [_login_request(email) for email in emails]
        self._addresses = addresses or ["127.0.0.1"] * len(emails)

    def run(self, seconds: float) -> None:
        """Storm for so long, then wait for the last answers."""
        self.ends = time.monotonic() + seconds
        asyncio.run(self._run())

    @contextmanager
    def beside(self, seconds: float, lead: float) -> Iterator[None]:
        """Storm for so long, and begin with the block after `lead` seconds; leave it when the storm is over."""
        thread = threading.Thread(target=self.run, args=(seconds,))
        thread.start()
        time.sleep(lead)
        try:
            yield
        finally:
            thread.join()

    def rate(self, status: int, lead: float) -> float:
        """Return the answers of this status a second, from `lead` seconds after the first request to the end."""
        begins = self._begin() + lead
        came = sum(begins <= answer.came <= self.ends for answer in self.answers if answer.status == status)
        return came / (self.ends - begins)

    def rate_to_the_last(self, status: int) -> float:
        """Return the answers of this status a second, from the first request to the last of them.

        What was under way at the end counts, and so does its time: of answers that come all at once, as those of a
        thread pool, a window would see one lot more or less.
        """
        times = [answer.came for answer in self.answers if answer.status == status]
        return len(times) / (max(times) - self._begin()) if times else 0.0

    def _begin(self) -> float:
        return min(answer.sent for answer in self.answers)

    def count(self, *statuses: int) -> int:
        """Return the number of answers with one of these statuses."""
        return sum(answer.status in statuses for answer in self.answers)

    def longest(self) -> float:
        """Return the longest time for an answer, in seconds; for one that did not come, the time it was waited for."""
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
    """A connection: sends the request again as soon as it is answered."""

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
        """Wait no longer."""
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
