"""What a storm of logins does to itself and to those who are logged in.

    .venv/bin/python benchmarks/storm.py        (needs wrk: apt-get install wrk)

64 clients log in without a pause, ignoring Retry-After, at bcrypt's cost 12; beside them, for a part of the time,
8 clients read their profile. All on this machine, a minute in all. bcrypt's own ceiling, on all cores and with nothing
else running, is measured in the same run: what counts are the ratios.
"""

import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import bcrypt

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import config  # noqa: E402
from pixora.embedded import Mongod, free_port  # noqa: E402
from tests.factories import PASSWORD, signup_body  # noqa: E402

CLIENTS = 64
READERS = 8
FORM = urllib.parse.urlencode({"username": "ada@example.com", "password": PASSWORD})
LOGIN = f"""
wrk.method = "POST"
wrk.body = "{FORM}"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
local threads = {{}}
function setup(thread) table.insert(threads, thread) end
function init() served = 0; shed = 0; other = 0 end
function response(status)
  if status == 200 then served = served + 1 elseif status == 503 then shed = shed + 1 else other = other + 1 end
end
function done(summary, latency)
  local all = {{served = 0, shed = 0, other = 0}}
  for _, thread in ipairs(threads) do
    for name in pairs(all) do all[name] = all[name] + thread:get(name) end
  end
  io.write(string.format('STORM {{"served": %d, "shed": %d, "other": %d, "seconds": %f, "p99": %f, "longest": %f}}',
    all.served, all.shed, all.other, summary.duration / 1e6, latency:percentile(99) / 1e6, latency.max / 1e6))
end
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "login.lua"
        script.write_text(LOGIN)
        with Mongod(Path(folder) / "data", binary=config.mongod()) as mongod, gunicorn(mongod) as url:
            token = sign_up_and_log_in(url)
            ceiling = bcrypt_ceiling(4)
            alone = read(url, token, 5)
            storm = log_in(url, script, 12)
            beside: list[dict[str, float]] = []
            stormers = threading.Thread(target=lambda: beside.append(log_in(url, script, 14)))
            stormers.start()
            time.sleep(3)
            disturbed = read(url, token, 8)
            stormers.join()
    print(f"bcrypt's ceiling: {ceiling:.1f} checks a second on {os.cpu_count()} cores")
    tell(f"{CLIENTS} clients log in", storm, ceiling)
    tell(f"{CLIENTS} clients log in, {READERS} read", beside[0], ceiling)
    for where, (rate, p99) in (("alone", alone), ("beside the storm", disturbed)):
        print(f"GET /me {where}: {rate:.0f} a second, {rate / alone[0]:.2f} of its rate alone, p99 {p99}")


def tell(what: str, storm: dict[str, float], ceiling: float) -> None:
    rate = storm["served"] / storm["seconds"]
    print(
        f"{what}: {rate:.1f} a second, {rate / ceiling:.2f} of the ceiling; {storm['shed']:.0f} were sent away, "
        f"{storm['other']:.0f} met something else; p99 {storm['p99']:.1f} s, longest {storm['longest']:.1f} s"
    )


class gunicorn:  # noqa: N801  # reads as the function it stands for
    """Two workers, as many as the cores here, with a database of their own."""

    def __init__(self, mongod: Mongod) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        environment = dict(os.environ) | {
            "PIXORA_ENV": "testing",
            "MONGO_URI": mongod.uri("storm"),
            "SECRET_KEY": secrets.token_urlsafe(48),
            "JWT_SECRET_KEY": secrets.token_urlsafe(48),
            "BCRYPT_ROUNDS": "12",
            "MALLOC_ARENA_MAX": "2",
            # The throttles would stop such a storm by one client; this is about one by many.
            "THROTTLE_LOGIN_PER_ACCOUNT_AND_IP": "1000000 per hour",
            "THROTTLE_LOGIN_PER_ACCOUNT": "1000000 per hour",
            "THROTTLE_LOGIN_PER_IP": "1000000 per hour",
        }
        command = [Path(sys.executable).with_name("gunicorn"), "--bind", self.url.removeprefix("http://"), "wsgi:app"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)

    def __enter__(self) -> str:
        while True:
            try:
                urllib.request.urlopen(self.url + "/health", timeout=5).close()
            except OSError:
                time.sleep(0.05)
            else:
                return self.url

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait()


def sign_up_and_log_in(url: str) -> str:
    for email in ("ada@example.com", "grace@example.com"):
        body = json.dumps(signup_body(email=email)).encode()
        request = urllib.request.Request(url + "/api/auth/signup", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request).close()
    # Not the one who storms: of that one's sessions only the last few live.
    form = FORM.replace("ada", "grace").encode()
    with urllib.request.urlopen(url + "/api/auth/login", form) as response:
        return str(json.load(response)["access_token"])


def bcrypt_ceiling(seconds: float) -> float:
    """Return how many hashes a second all cores check when they do nothing else."""
    stored, ends, checked = bcrypt.hashpw(b"x", bcrypt.gensalt(12)), time.monotonic() + seconds, []

    def check() -> None:
        while time.monotonic() < ends:
            bcrypt.checkpw(b"x", stored)
            checked.append(1)

    threads = [threading.Thread(target=check) for _ in range(os.cpu_count() or 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(checked) / seconds


def read(url: str, token: str, seconds: int) -> tuple[float, str]:
    """Return profiles read a second, and the 99th percentile of the time for one."""
    options = ["-t1", f"-c{READERS}", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {token}"]
    told = subprocess.run(["wrk", *options, url + "/api/users/me"], capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in told, told
    return float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1]), re.search(r"99%\s+(\S+)", told)[1]  # type: ignore[index]


def log_in(url: str, script: Path, seconds: int) -> dict[str, float]:
    options = ["-t1", f"-c{CLIENTS}", f"-d{seconds}s", "--timeout", "15s", "-s", str(script)]
    told = subprocess.run(["wrk", *options, url + "/api/auth/login"], capture_output=True, text=True, check=True).stdout
    result: dict[str, float] = json.loads(told.split("STORM ")[1])
    return result


if __name__ == "__main__":
    main()
