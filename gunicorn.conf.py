"""Configuration of gunicorn, which reads this file from the working directory; elsewhere pass it with ``-c``.

Settings come from the environment, through `config`. If they are invalid, the master prints one message and exits with
status 78 before any worker starts.

SIGHUP starts new workers, which load the new code, and lets the old ones finish; no request is lost. Code that cannot
start ends the service, so check it before: ``gunicorn --check-config wsgi:app``. After a change of requirements, send
SIGUSR2 and then SIGTERM; this requires that gunicorn was not started as ``python -m gunicorn``.
tests/system/test_deploys.py does all of this under load.
"""

import gc
import logging
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger as GunicornLogger
from gunicorn.workers.base import Worker as GunicornWorker

ROOT = Path(__file__).resolve().parent
if str(ROOT) not in sys.path:  # gunicorn adds only the working directory
    sys.path.insert(0, str(ROOT))

# Imported modules stay. To search them for garbage meanwhile takes a tenth of the time to start. See also `post_fork`.
gc.disable()

# Not `import config`, because gunicorn would take the module for the value of its setting `config`.
from config import load_or_exit  # noqa: E402  # needs the path above

_settings = load_or_exit()
gc.enable()
del sys.modules["config"]  # otherwise SIGHUP would not load a new version


def _module(path: Path) -> ModuleType:
    """Load a module without its package, which would load the whole application into the master."""
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


metric_files = _module(ROOT / "pixora/observability/metric_files.py")
balance = _module(ROOT / "pixora/server/balance.py")


class Logger(GunicornLogger):
    """Writes gunicorn's own messages in the format of `pixora.observability.logs`.

    It does not import that module: workers inherit what the master has imported, and SIGHUP would not load a new
    version. The setting `logconfig_dict` is not used, because gunicorn would then prepare an access-log line for every
    request, wanted or not: 17 µs each.
    """

    def setup(self, cfg: Config) -> None:
        """Set the one handler, at the start and after each SIGHUP."""
        super().setup(cfg)
        handler = logging.StreamHandler(sys.stdout)
        log_format = _module(ROOT / "pixora/observability/log_format.py")
        is_readable = _settings.pixora_env == "development" and sys.stdout.isatty()
        handler.setFormatter(log_format.ReadableFormatter() if is_readable else log_format.LineFormatter())
        self.error_log.handlers = [handler]


class Worker(GunicornWorker):
    """Serves connections with `pixora.server`, which the worker loads itself, so SIGHUP loads a new version."""

    board: Any
    metric_slot: int

    @classmethod
    def check_config(cls, cfg: Config, log: GunicornLogger) -> None:
        """Reject TLS settings: TLS is left to the proxy."""
        if cfg.is_ssl:
            sys.exit("Pixora's server does not support TLS. Use nginx for it, see deploy/nginx.conf.")

    def run(self) -> None:
        """Serve until the worker has to stop."""
        # Not in the master, see Logger.
        from pixora.server.balance import Share  # noqa: PLC0415
        from pixora.server.worker import Server  # noqa: PLC0415
        from pixora.web import cors  # noqa: PLC0415

        share, origins = Share(self.board, self.metric_slot), cors.patterns(_settings.cors_origins)
        Server(self, _settings.max_content_length, share, origins).run()


worker_class = Worker
logger_class = Logger
accesslog = None  # nginx writes one, in JSON

# The command line can override it, as in the Dockerfile. Without this line, PORT in the environment would open the port
# to every network.
bind = "127.0.0.1:8000"

workers = _settings.web_concurrency
threads = _settings.gunicorn_threads
# A MongoClient has threads and sockets, which do not survive a fork, so each worker creates its own.
preload_app = False
# Workers are not recycled: no leak is known, and starting one takes a quarter of a second of CPU. GUNICORN_CMD_ARGS can
# change this, for example "--max-requests 100000 --max-requests-jitter 10000"; no request is lost.
max_requests = 0

# The heartbeat of a worker touches a file. On a busy disk this can hang, and the master would kill the worker.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  # mkstemp makes the name unique

# For the worker's main loop. It does not end requests that hang in a thread: every wait has its own time limit.
timeout = 30
# For requests that are running when a worker has to stop. A supervisor must wait longer before it kills gunicorn.
graceful_timeout = 30

# For clients without nginx. nginx closes its idle connections after a second, so it never sends a request on a
# connection that is being closed at this end, which would lose the request.
keepalive = 75

# Limits of a request before Flask sees it. deploy/nginx.conf has slightly lower ones, except for the number of fields.
limit_request_line = 4094
limit_request_field_size = 8190
limit_request_fields = 50

# gunicorn trusts no proxy: `pixora.web.forwarding` does, by PROXY_COUNT. By default gunicorn takes the scheme and
# SCRIPT_NAME from headers of every peer on loopback and, whatever the first line says, on a Unix socket; hence the
# other lines. Headers with an underscore, such as SCRIPT_NAME, are dropped: they would look like ones with a hyphen.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
header_map = "drop"

# Otherwise gunicorn creates a socket in the home directory, for control commands.
control_socket_disable = True


def on_starting(server: Arbiter) -> None:
    """Load the application once before any worker does if a file may be at fault, so that this is reported once.

    This takes a process of its own, because the workers would inherit what the master imports. It is forked, which
    takes little more than half the time of a new interpreter. Without key files, templates, OpenTelemetry, which reads
    variables of its own, and mongodb+srv://, only the settings can be at fault, which are read above; in production
    without DATA_KEYS, the database says whether a user has a second factor.
    """
    lacks_data_keys = _settings.pixora_env == "production" and not _settings.data_keys
    is_srv = _settings.mongo_uri.startswith("mongodb+srv:")
    if not (_settings.jwt_key_dir or _settings.mail_templates or _settings.tracing or lacks_data_keys or is_srv):
        return
    process = get_context("fork").Process(target=_load)
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(process.exitcode)


def _load() -> None:
    """Load the application and check its keys; exit if it cannot serve."""
    import wsgi  # noqa: PLC0415  # never in the master

    wsgi.require_signing_key()
    wsgi.require_data_keys()


def pre_fork(server: Arbiter, worker: GunicornWorker) -> None:
    """Give a worker its files for the metrics and its place on the board of connections."""
    if getattr(server, "board", None) is None:
        server.board = balance.Board()
    worker.board = server.board
    if getattr(server, "metric_files", None) is None:
        # A new master inherits it after SIGUSR2: while both serve, the workers of either report the counts of all.
        inherited = os.environ.get("PIXORA_METRIC_FILES") if server.master_pid else None
        server.metric_files = metric_files.MetricFiles(inherited, server.cfg.uid, server.cfg.gid)
    taken = {other.metric_slot for other in server.WORKERS.values()}
    worker.metric_slot = server.metric_files.free_slot(taken)


def pre_exec(server: Arbiter) -> None:
    """Pass the directory of the metrics on to the new master."""
    server.cfg.env_orig["PIXORA_METRIC_FILES"] = server.metric_files.handed_on


def post_fork(server: Arbiter, worker: GunicornWorker) -> None:
    """Use the shared files of the metrics; called before the application is loaded, which creates its metrics."""
    gc.disable()  # until `post_worker_init`
    try:
        server.metric_files.join(worker.metric_slot)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(server.metric_files.path)
    except OSError as error:
        worker.log.error("This worker cannot use the shared files of the metrics, so /metrics is incomplete: %s", error)


def post_worker_init(worker: GunicornWorker) -> None:
    """Make the OpenAPI document, and write gunicorn's lines with the application's handler, which waits for no reader.

    The document takes 30 ms of CPU, too much for a request.
    """
    worker.log.error_log.handlers = logging.getLogger().handlers
    if api := getattr(worker.wsgi, "extensions", {}).get("openapi"):
        api.document()
    gc.freeze()  # the objects that exist now stay, so no collection searches them
    gc.enable()


def child_exit(server: Arbiter, worker: GunicornWorker) -> None:
    """Remove the gauges and the connections of a worker that has ended; its counters stay."""
    server.board.leave(worker.metric_slot)
    server.metric_files.forget(worker.metric_slot)


def on_exit(server: Arbiter) -> None:
    """Remove the files of the metrics, unless another master uses them."""
    if getattr(server, "metric_files", None) is not None:
        server.metric_files.leave()
