"""How gunicorn runs Pixora. It finds this file by itself in the working directory; else give it with ``-c``.

What depends on the machine comes from the environment, by way of `config`: a faulty one ends the master here,
with one message and exit status 78, before any worker starts.

SIGHUP starts new workers, which load the code anew, and lets the old ones finish; no request is lost. What does not
start ends the service then as it does at first, so try it before: ``gunicorn --check-config wsgi:app``. After a change
of requirements use SIGUSR2 and then SIGTERM, for which gunicorn must not have been started as ``python -m gunicorn``.
tests/system/test_deploys.py does all of this under load.
"""

import json
import logging
import os
import secrets
import subprocess
import sys
from http import HTTPStatus
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from socket import socket
from types import ModuleType, SimpleNamespace
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger as GunicornLogger
from gunicorn.http import errors
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker

ROOT = Path(__file__).resolve().parent
if str(ROOT) not in sys.path:  # gunicorn only adds the working directory
    sys.path.insert(0, str(ROOT))

# Not `import config`: gunicorn has a setting of this name and would take the module for its value.
from config import load_or_exit  # noqa: E402  # after the path to it

_settings = load_or_exit()
for _name in ("config", "config_rules"):
    del sys.modules[_name]  # or else SIGHUP would go on with the one of today


def _module(path: Path) -> ModuleType:
    """Return a module by itself: the package it is in would bring the whole application into the master."""
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


metric_files = _module(ROOT / "pixora/observability/metric_files.py")


class Logger(GunicornLogger):
    """Writes gunicorn's own messages as `pixora.observability.logs` writes ours.

    It does not import that module, and with it the whole application: what the master has imported the workers
    inherit, and a new version of it would not reach them by SIGHUP. Nor does it use the setting `logconfig_dict`,
    with which gunicorn prepares an access-log line for every request, wanted or not: 17 µs each.
    """

    def setup(self, cfg: Config) -> None:
        """Have one handler, at the start and after each SIGHUP."""
        super().setup(cfg)
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(_module(ROOT / "pixora/observability/log_format.py").LineFormatter())
        self.error_log.handlers = [handler]


class Worker(ThreadWorker):
    """Answers what it cannot read as HTTP in the shape of every other error, and leaves nobody waiting when it stops.

    gunicorn's own answers are pages of HTML, and both they and its log quote the request, which may hold a secret.
    """

    ANSWERS = (
        (errors.InvalidResponseHeader, HTTPStatus.INTERNAL_SERVER_ERROR, "internal_server_error"),
        (errors.InvalidResponseHeaderName, HTTPStatus.INTERNAL_SERVER_ERROR, "internal_server_error"),
        (errors.LimitRequestLine, HTTPStatus.REQUEST_URI_TOO_LONG, "uri_too_long"),
        (errors.LimitRequestHeaders, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "request_header_fields_too_large"),
        (errors.ExpectationFailed, HTTPStatus.EXPECTATION_FAILED, "expectation_failed"),
        (errors.UnsupportedTransferCoding, HTTPStatus.NOT_IMPLEMENTED, "not_implemented"),
        (errors.ParseException, HTTPStatus.BAD_REQUEST, "bad_request"),
        (Exception, HTTPStatus.INTERNAL_SERVER_ERROR, "internal_server_error"),
    )

    def set_accept_enabled(self, enabled: bool) -> None:  # noqa: FBT001  # as gunicorn calls it
        """Accept connections or not; a worker that stops first accepts all that wait, and then closes the door.

        gunicorn's own leaves the door open until the last running request has its answer, and does not look who comes
        in: when the whole service stops, these would wait for as long, and then be cut off.
        """
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            waiting = True
            while waiting and self.nr_conns < self.worker_connections:
                before = self.nr_conns
                self.accept(listener)
                waiting = self.nr_conns > before
            listener.close()
        self.sockets = []

    def handle_error(self, req: object, client: socket, addr: Any, exc: Exception) -> None:
        """Answer and log a failure outside of the application; the caller closes the connection."""
        # Not in the master, see Logger.
        from pixora.observability import metrics  # noqa: PLC0415
        from pixora.web.problems import HTTP_DETAILS, MEDIA_TYPE, document  # noqa: PLC0415

        status, code = next((status, code) for kind, status, code in self.ANSWERS if isinstance(exc, kind))
        request_id = secrets.token_hex(16)
        metrics.request_duration(metrics.NO_ROUTE, metrics.OTHER, int(status)).observe(0)
        told = {
            "event": "request",
            "request_id": request_id,
            "route": metrics.NO_ROUTE,
            "status": int(status),
            "cause": type(exc).__name__,
            "client": addr[0] if addr else None,
        }
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.error("Failed outside of the application", exc_info=exc, extra=told)
        else:
            self.log.warning("Could not read a request", extra=told)
        detail = HTTP_DETAILS.get(status, status.phrase + ".")
        body = json.dumps(document(SimpleNamespace(status=status, code=code, detail=detail), request_id))
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
            f"X-Request-ID: {request_id}\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"
            "Connection: close\r\n\r\n"
        )
        try:
            write_nonblock(client, (head + body).encode())
        except OSError:
            self.log.debug("The client is gone")


worker_class = Worker
logger_class = Logger
accesslog = None  # nginx writes one, in JSON

# The command line may say otherwise, and does so in the Dockerfile. Without this line, PORT in the environment
# would open the port to every network.
bind = "127.0.0.1:8000"

workers = _settings.web_concurrency
threads = _settings.gunicorn_threads
# A MongoClient has threads and sockets of its own, which do not survive a fork: each worker makes its own.
preload_app = False
# Workers are not recycled: no leak is known, and a new one takes most of a second of CPU. GUNICORN_CMD_ARGS can say
# otherwise, as in "--max-requests 100000 --max-requests-jitter 10000"; no request is lost by it.
max_requests = 0

# The heartbeat of a worker is a touch of a file. On a busy disk this can hang, and then the worker is taken for dead.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # made unique by mkstemp

# For the worker's main loop. A request that hangs in a thread is not ended by it: every wait of ours has its own
# deadline.
timeout = 30
# For the requests still running when a worker is told to stop. Whoever stops gunicorn must wait for longer.
graceful_timeout = 30

# Longer than the second for which nginx keeps its idle connections, so that it is always nginx that closes: a request
# sent on a connection that is being closed at this end is lost. It is for those who come without nginx.
keepalive = 75

# What a request may be before Flask sees it. deploy/nginx.conf refuses longer lines and fields too, a little sooner;
# only their number it does not limit.
limit_request_line = 4094
limit_request_field_size = 8190
limit_request_fields = 50

# Nobody is believed here about the address, the scheme or the path of a request; that is for Werkzeug's ProxyFix, by
# PROXY_COUNT. By default gunicorn takes the scheme and SCRIPT_NAME from headers of every peer on loopback; and on a
# Unix socket from every peer whatever the first line says, hence the others. "drop" is then what becomes of
# SCRIPT_NAME, as of every header with an underscore: it could pass for one with a hyphen.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
header_map = "drop"

# A door that nobody here uses: by default gunicorn makes a socket in the home directory, to be steered through.
control_socket_disable = True


def on_starting(server: Arbiter) -> None:
    """Load the application once before any worker does, so that what keeps it from starting is said once.

    In a process of its own: what the master has imported, the workers would inherit.
    """
    program = "import wsgi; wsgi.require_signing_key()"
    status = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode  # noqa: S603
    if status:
        sys.exit(status)


def pre_fork(server: Arbiter, worker: ThreadWorker) -> None:
    """Give a worker its place among the counters of the metrics."""
    if getattr(server, "metric_files", None) is None:
        # SIGUSR2 hands it on: while both masters serve, either's workers answer with the counts of all.
        inherited = os.environ.get("PIXORA_METRIC_FILES") if server.master_pid else None
        server.metric_files = metric_files.MetricFiles(inherited, server.cfg.uid, server.cfg.gid)
    taken = {other.metric_slot for other in server.WORKERS.values()}
    worker.metric_slot = server.metric_files.free_slot(taken)


def pre_exec(server: Arbiter) -> None:
    """Tell the new master where the counters are."""
    server.cfg.env_orig["PIXORA_METRIC_FILES"] = server.metric_files.handed_on


def post_fork(server: Arbiter, worker: ThreadWorker) -> None:
    """Count from here on where the others do; before the application is loaded, which makes its metrics."""
    try:
        server.metric_files.join(worker.metric_slot)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(server.metric_files.path)
    except OSError as error:
        worker.log.error("This worker counts for itself, so that /metrics is wrong: %s", error)


def post_worker_init(worker: ThreadWorker) -> None:
    """Write gunicorn's lines by the application's handler, now that it is there: it never waits for a reader."""
    worker.log.error_log.handlers = logging.getLogger().handlers


def child_exit(server: Arbiter, worker: ThreadWorker) -> None:
    """Forget what was waiting in a worker that is dead; what it has counted stays."""
    server.metric_files.forget(worker.metric_slot)


def on_exit(server: Arbiter) -> None:
    """Remove the counters, unless another master has them by now."""
    if getattr(server, "metric_files", None) is not None:
        server.metric_files.leave()
