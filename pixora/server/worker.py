"""The main loop of a worker: accepts connections, polls those that wait, and has threads answer requests."""

import contextlib
import itertools
import os
import selectors
import sys
import time
from collections import deque
from typing import Any

from pixora.server.balance import Share
from pixora.server.connection import Connection
from pixora.server.reading import Limits
from pixora.server.threads import Threads
from pixora.web.cors import Origins

SWEEP_SECONDS = 1.0
STOPPING_SWEEP_SECONDS = 0.1

STOP_LINGER_SECONDS = 2.0
"""How long a worker that stops, or has too many connections, keeps an idle connection: its client may just be sending a
request. nginx closes idle connections sooner, so it never uses one that is being closed here."""

SHUT_SECONDS = 0.5
"""How long to accept no connection after the system ran out of file descriptors."""

REJECTION_SECONDS = 0.05
"""How long to hold back an answer that rejects a request. A client that repeats such requests without a pause gets 20 a
second on each connection, and takes little from the others; no person notices."""


class Server:
    """Serves the connections of one worker.

    Args:
        worker: gunicorn's worker, with its sockets, application and configuration, and `alive` until it has to stop.
        body_limit: In bytes.
        share: Decides whether this worker accepts a new connection.
        origins: Patterns of the origins whose pages may read answers.

    """

    def __init__(self, worker: Any, body_limit: int, share: Share, origins: Origins) -> None:
        cfg = worker.cfg
        self._worker = worker
        self._share = share
        self._origins = origins
        self._limits = Limits(
            line=cfg.limit_request_line,
            field=cfg.limit_request_field_size,
            fields=cfg.limit_request_fields,
            body=body_limit,
        )
        self._max_connections = int(cfg.worker_connections)
        self._keepalive_seconds = cfg.keepalive  # read once: gunicorn looks it up anew, 1 % of a `GET /me`
        self._selector = selectors.DefaultSelector()
        self._connections: set[Connection] = set()
        self._waiting: set[Connection] = set()  # owned by the poller
        self._held: deque[tuple[float, Connection]] = deque()  # with the time at which to send its answer
        self._quiet = 0  # connections without progress for a second, at the last sweep
        self._threads = Threads(cfg.threads, self._serve)
        self._numbers = itertools.count(1)
        self._is_accepting = False
        self._shut_until = 0.0
        self._next_sweep = 0.0
        self._base = {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": cfg.workers > 1,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "SERVER_SOFTWARE": "gunicorn",
            "SCRIPT_NAME": "",
        }

    def run(self) -> None:
        """Serve until the worker stops; then accept waiting connections, answer requests that have begun, and close."""
        worker = self._worker
        self._selector.register(worker.PIPE[0], selectors.EVENT_READ)
        for listener in worker.sockets:
            listener.setblocking(False)
        self._note_load()
        while worker.alive:
            self._turn(SWEEP_SECONDS)
        self._share.leave()
        self._set_accepting(wanted=False)
        for listener in worker.sockets:
            # Closing the listener would cut off clients that have connected already: accept them all first.
            while len(self._connections) < self._max_connections and self._accept(listener):
                pass
            listener.close()
        worker.sockets = []
        deadline = time.monotonic() + worker.cfg.graceful_timeout
        while self._connections and time.monotonic() < deadline:
            self._turn(STOPPING_SWEEP_SECONDS)

    def _turn(self, sweep_seconds: float) -> None:
        """Wait for events, and handle them."""
        now = time.monotonic()
        if self._worker.alive:
            may = now >= max(self._shut_until, self._share.pauses_until) and not self._is_full()
            self._set_accepting(wanted=may)
        self._next_sweep = min(self._next_sweep, now + sweep_seconds)
        times = [self._next_sweep, *(t for t in (self._shut_until, self._share.pauses_until) if t > now)]
        if self._held:
            times.append(self._held[0][0])
        for key, _ in self._selector.select(max(0.0, min(times) - now)):
            if isinstance(key.fileobj, Connection):
                self._look_at(key.fileobj, key.events)
            elif isinstance(key.fileobj, int):
                os.read(key.fileobj, 4096)  # written by `_wake` or by a signal handler
            else:
                self._accept_from(key.fileobj)
        while self._held and self._held[0][0] <= time.monotonic():
            self._threads.submit(self._held.popleft()[1])
        if time.monotonic() >= self._next_sweep:
            self._sweep()
            self._next_sweep = time.monotonic() + sweep_seconds

    def _accept_from(self, listener: Any) -> None:
        while not self._is_full() and self._share.may_accept() and self._accept(listener):
            pass

    def _accept(self, listener: Any) -> bool:
        """Accept a connection; return whether there was one."""
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as error:  # usually no file descriptor is left
            self._worker.log.error("Cannot accept connections: %s", error.strerror)
            self._shut_until = time.monotonic() + SHUT_SECONDS
            return False
        server = listener.getsockname()
        is_ip = isinstance(server, tuple)
        base = self._base | {
            "SERVER_NAME": server[0] if is_ip else str(server),
            "SERVER_PORT": str(server[1]) if is_ip else "",
            "REMOTE_ADDR": address[0] if is_ip else "",
            "REMOTE_PORT": str(address[1]) if is_ip else "",
            "gunicorn.socket": client,
        }
        try:
            connection = Connection(client, base["REMOTE_ADDR"], base, self._limits, self._origins)
        except OSError:  # some systems report here that the client has reset the connection
            client.close()
            return True
        self._connections.add(connection)
        self._note_load()
        try:
            if connection.receive():
                self._threads.submit(connection)
            else:
                self._watch(connection, selectors.EVENT_READ)
        except Exception as error:  # noqa: BLE001  # the loop goes on
            self._drop(connection, error)
        return True

    def _look_at(self, connection: Connection, events: int) -> None:
        """Handle an event of a connection that the poller owns."""
        try:
            if events == selectors.EVENT_READ and not connection.receive():
                return
        except Exception as error:  # noqa: BLE001  # the loop goes on
            if self._take(connection):
                self._drop(connection, error)
            return
        if self._take(connection):
            self._threads.submit(connection)

    def _serve(self, connection: Connection) -> None:
        """Answer the requests of a connection while it has some. Runs in a thread."""
        try:
            while connection.is_writing or self._answer(connection):
                if connection.hold_back():
                    self._hold(connection)
                    return
                if not connection.flush():
                    self._watch(connection, selectors.EVENT_WRITE)
                    return
                if not connection.is_to_stay():
                    self._watch(connection, selectors.EVENT_READ)
                    return
                if self._threads.are_busy():
                    break
                if not connection.read() and not connection.receive(flags=0):
                    self._watch(connection, selectors.EVENT_READ)
                    return
            if connection.read():
                self._threads.submit(connection)  # at the end of the queue
            else:
                self._watch(connection, selectors.EVENT_READ)
        except BaseException as error:  # noqa: BLE001  # the connection is closed, and the thread goes on
            self._drop(connection, error)

    def _answer(self, connection: Connection) -> bool:
        worker = self._worker
        if next(self._numbers) == worker.max_requests and worker.alive:
            worker.log.info("Autorestarting worker after current request.")
            worker.alive = False
            self._wake()
        is_last = not worker.alive or not self._keepalive_seconds or self._is_full()
        connection.answer(worker.wsgi, is_last=is_last)
        return True

    def _hold(self, connection: Connection) -> None:
        """Have a thread send the answer later."""
        self._held.append((time.monotonic() + REJECTION_SECONDS, connection))
        if len(self._held) == 1:  # otherwise the poller knows when to look
            self._wake()

    def _watch(self, connection: Connection, events: int) -> None:
        """Give a connection to the poller."""
        self._waiting.add(connection)
        self._selector.register(connection, events)  # now the poller owns it

    def _take(self, connection: Connection) -> bool:
        """Take a connection from the poller; return whether it had it."""
        try:
            self._selector.unregister(connection)
        except KeyError:  # the thread that gives it back has not finished
            return False
        self._waiting.discard(connection)
        return True

    def _drop(self, connection: Connection, error: BaseException) -> None:
        if not isinstance(error, OSError):  # an OSError means that the client has closed the connection
            self._worker.log.error("Failed outside of the application", exc_info=error)
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        was_full = self._is_full()
        try:
            connection.close()
        except Exception as error:
            self._worker.log.error("Failed outside of the application", exc_info=error)
        self._connections.discard(connection)
        self._note_load()
        if was_full:
            self._wake()

    def _sweep(self) -> None:
        """Send the heartbeat to the master, and end the connections that exceed a time limit."""
        self._worker.notify()
        if self._worker.ppid != os.getppid():
            self._worker.alive = False
        is_open = self._worker.alive and not self._is_full()
        keep = self._keepalive_seconds if is_open else STOP_LINGER_SECONDS
        now = time.monotonic()
        self._quiet = 0
        for connection in list(self._waiting):
            if not connection.is_overdue(now, keep):
                self._quiet += connection.is_quiet(now)
            elif self._take(connection):
                self._end(connection)
        self._note_load()

    def _end(self, connection: Connection) -> None:
        try:
            if connection.time_out():
                self._threads.submit(connection)
                return
        except OSError:
            pass
        self._close(connection)

    def _is_full(self) -> bool:
        return len(self._connections) >= self._max_connections

    def _note_load(self) -> None:
        self._share.note(max(0, len(self._connections) - self._quiet))

    def _set_accepting(self, *, wanted: bool) -> None:
        if wanted == self._is_accepting:
            return
        for listener in self._worker.sockets:
            if wanted:
                self._selector.register(listener, selectors.EVENT_READ)
            else:
                self._selector.unregister(listener)
        self._is_accepting = wanted

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # the pipe is full, so it is awake
            os.write(self._worker.PIPE[1], b".")
