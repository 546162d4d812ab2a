"""Equal time: what a refused login costs and says must not tell why it was refused.

At cost 10, the least in production, a hash is cheap enough for 200 samples of each, in random order, and short enough
for other differences to show. Four services are measured:

- most hashes have today's cost. A user whose hash is a step cheaper, from before `BCRYPT_ROUNDS` was raised and not
  logged in since, is one of a few, and must not stand out against an unknown one;
- the cost has just been raised: most hashes have the old one, and all refusals take as long as the new one;
- some users were imported with hashes of other systems, which cost less; or more, and then all refusals must, too.

The password is wrong, but for one of a disabled user: there it makes no difference either.

`script/check-enumeration` asks, as it does at a deployment; here it is given users that only the database can be.
"""

import random
import runpy
from collections.abc import Callable
from statistics import median
from typing import Any

import bcrypt

from benchmarks.figures import table
from benchmarks.servers import FIRST, PIXORA, ROOT, Bench, started
from tests.factories import PASSWORD, fastapi_user

COST = 10
SAMPLES = 200
WARM_UP = 10
CORRUPT = "$2b$10$corrupt"
RIGHT = "disabled, right password"
TODAY, RAISED = "most hashes of today's cost", "most hashes of the old cost"
CHEAPER, DEARER = "some imported, cheaper", "some imported, dearer"
CHECK = runpy.run_path(str(ROOT / "script/check-enumeration"))
REST = "$MDEyMzQ1Njc4OWFiY2RlZg$aCw2rZ5f/gXUQuC7x34uq3vIiWuYuhqosovXdutRmW0"


def run(bench: Bench) -> dict[str, Any]:
    """Return for both services, by case, the median of the seconds and the distinct answers."""
    today, old = (_hash(cost) for cost in (COST, COST - 1))
    cases = {
        "unknown": None,
        "wrong password": fastapi_user(email="wrong@example.com", password=today),
        "disabled": fastapi_user(email="disabled@example.com", password=today, disabled=True),
        RIGHT: fastapi_user(email="right@example.com", password=today, disabled=True),
        "corrupt hash": fastapi_user(email="corrupt@example.com", password=CORRUPT),
        "old-cost hash": fastapi_user(email="old@example.com", password=old),
    }
    raised = {name: cases[name] for name in ("unknown", "old-cost hash")}
    kept = {name: cases[name] for name in ("unknown", "wrong password")}
    cheaper = kept | _imported(f"$argon2id$v=19$m=19456,t=2,p=1{REST}", f"$scrypt$ln=14,r=8,p=1{REST}")
    dearer = kept | _imported(f"$argon2id$v=19$m=32768,t=3,p=4{REST}")
    return {
        TODAY: _measure(bench, "equal_today", cases),
        RAISED: _measure(bench, "equal_raised", raised),
        CHEAPER: _measure(bench, "equal_cheaper", cheaper | _imported(f"$pbkdf2-sha256$i=300000,l=32{REST}")),
        DEARER: _measure(bench, "equal_dearer", dearer),
    }


def _imported(*hashes: str) -> dict[str, dict[str, Any] | None]:
    schemes = [stored.split("$")[1] for stored in hashes]
    return {
        scheme: fastapi_user(email=f"{scheme}@example.com", password=stored)
        for scheme, stored in zip(schemes, hashes, strict=True)
    }


def _hash(cost: int) -> str:
    return bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(cost)).decode()


def _measure(bench: Bench, database: str, cases: dict[str, dict[str, Any] | None]) -> dict[str, Any]:
    found: dict[str, Any] = {name: {"seconds": [], "answers": []} for name in cases}
    bench.mongo[database]["users"].insert_many(user for user in cases.values() if user is not None)
    with started(bench, PIXORA, database, cores=FIRST, BCRYPT_ROUNDS=str(COST)) as server:
        deployment = CHECK["Deployment"](f"http://127.0.0.1:{server.port}")
        asked = {name: _guess(deployment, user, right=name == RIGHT) for name, user in cases.items()}
        # The service counts the hashes, in the background, at the first attempt to log in.
        list(CHECK["sample"](asked, WARM_UP))
        for name, answer in CHECK["sample"](asked, SAMPLES):
            found[name]["seconds"].append(answer.seconds)
            told = [answer.status, answer.body, sorted(answer.headers), list(answer.values)]
            if told not in found[name]["answers"]:
                found[name]["answers"].append(told)
    return {name: case | {"seconds": median(case["seconds"])} for name, case in found.items()}


def _guess(deployment: Any, user: dict[str, Any] | None, *, right: bool) -> Callable[[int], Any]:
    """Return what tries a password of a user, or of another unknown one each time."""
    password = PASSWORD if right else "not " + PASSWORD
    if user is None:
        return lambda _: deployment.log_in(f"{random.getrandbits(64):016x}@example.com", password)
    return lambda _: deployment.log_in(user["email"], password)


def passes(result: dict[str, Any]) -> bool:
    """Tell whether all medians are within a tenth of each other and all answers are the same."""
    return all(_apart(cases) <= 1.1 and _same(cases) for cases in result.values())


def _apart(cases: dict[str, Any]) -> float:
    medians = [found["seconds"] for found in cases.values()]
    return max(medians) / min(medians)


def _same(cases: dict[str, Any]) -> bool:
    answers = [answer for found in cases.values() for answer in found["answers"]]
    return all(answer == answers[0] for answer in answers)


def report(result: dict[str, Any]) -> str:
    """Return the tables and the verdict."""
    parts = []
    for title, cases in result.items():
        unknown = cases["unknown"]["seconds"]
        rows = []
        for name, found in cases.items():
            statuses = sorted({str(answer[0]) for answer in found["answers"]})
            rows.append(
                [name, f"{found['seconds'] * 1000:.2f} ms", f"{found['seconds'] / unknown:.3f}", ", ".join(statuses)]
            )
        parts.append(
            f"{table([title, 'median', 'to unknown', 'status'], rows)}\n\n"
            f"The slowest takes {_apart(cases):.3f} times the fastest; "
            f"status, body and headers {'are the same' if _same(cases) else 'DIFFER'}."
        )
    return "\n\n".join([*parts, f"Equal time: {'PASS' if passes(result) else 'FAIL'}."])
