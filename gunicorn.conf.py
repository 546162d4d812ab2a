"""How gunicorn runs Pixora. It finds this file by itself in the working directory; else give it with ``-c``.

What depends on the machine comes from the environment, by way of `config`: a faulty one ends the master here,
with one message and exit status 78, before any worker starts.

SIGHUP starts new workers, which load the code anew, and lets the old ones finish; no request is lost. What does not
start ends the service then as it does at first, so try it before: ``gunicorn --check-config wsgi:app``. After a change
of requirements use SIGUSR2 and then SIGTERM, for which gunicorn must not have been started as ``python -m gunicorn``.
tests/system/test_deploys.py does all of this under load.
"""

import logging
import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger as GunicornLogger
from gunicorn.workers.base import Worker as GunicornWorker

ROOT = Path(__file__).resolve().parent
if str(ROOT) not in sys.path:  # gunicorn only adds the working directory
    sys.path.insert(0, str(ROOT))

# Not `import config`: gunicorn has a setting of this name and would take the module for its value.
from config import load_or_exit  # noqa: E402  # after the path to it

_settings = load_or_exit()
del sys.modules["config"]  # or SIGHUP would not load a new version of it


def _module(path: Path) -> ModuleType:
    """Return a module by itself: the package it is in would bring the whole application into the master."""
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


metric_files = _module(ROOT / "pixora/observability/metric_files.py")
balance = _module(ROOT / "pixora/server/balance.py")


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


class Worker(GunicornWorker):
    """Serves its connections by `pixora.server`, which it loads itself: SIGHUP brings a new version of it, too."""

    board: Any
    metric_slot: int

    @classmethod
    def check_config(cls, cfg: Config, log: GunicornLogger) -> None:
        """Refuse what there is not: TLS is the proxy's."""
        if cfg.is_ssl:
            sys.exit("gunicorn does not speak TLS here: leave that to nginx, see deploy/nginx.conf.")

    def run(self) -> None:
        """Serve, until told to stop."""
        # Not in the master, see Logger.
        from pixora.server.balance import Share  # noqa: PLC0415
        from pixora.server.worker import Server  # noqa: PLC0415

        Server(self, _settings.max_content_length, Share(self.board, self.metric_slot)).run()


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
# For the requests still running when a worker is told to stop. A supervisor must wait longer before it kills gunicorn.
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


def pre_fork(server: Arbiter, worker: GunicornWorker) -> None:
    """Give a worker its place among the counters of the metrics, and on the board of connections."""
    if getattr(server, "board", None) is None:
        server.board = balance.Board()
    worker.board = server.board
    if getattr(server, "metric_files", None) is None:
        # SIGUSR2 hands it on: while both masters serve, either's workers answer with the counts of all.
        inherited = os.environ.get("PIXORA_METRIC_FILES") if server.master_pid else None
        server.metric_files = metric_files.MetricFiles(inherited, server.cfg.uid, server.cfg.gid)
    taken = {other.metric_slot for other in server.WORKERS.values()}
    worker.metric_slot = server.metric_files.free_slot(taken)


def pre_exec(server: Arbiter) -> None:
    """Tell the new master where the counters are."""
    server.cfg.env_orig["PIXORA_METRIC_FILES"] = server.metric_files.handed_on


def post_fork(server: Arbiter, worker: GunicornWorker) -> None:
    """Count from here on where the others do; before the application is loaded, which makes its metrics."""
    try:
        server.metric_files.join(worker.metric_slot)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(server.metric_files.path)
    except OSError as error:
        worker.log.error("This worker counts for itself, so that /metrics is wrong: %s", error)


def post_worker_init(worker: GunicornWorker) -> None:
    """Write gunicorn's lines by the application's handler, now that it is there: it never waits for a reader."""
    worker.log.error_log.handlers = logging.getLogger().handlers


def child_exit(server: Arbiter, worker: GunicornWorker) -> None:
    """Forget what was waiting in a worker that is dead; what it has counted stays."""
    server.board.leave(worker.metric_slot)
    server.metric_files.forget(worker.metric_slot)


def on_exit(server: Arbiter) -> None:
    """Remove the counters, unless another master has them by now."""
    if getattr(server, "metric_files", None) is not None:
        server.metric_files.leave()
