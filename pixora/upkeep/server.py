"""The doctor's checks of MongoDB: reachability, version, topology, clock, disk and indexes."""

from collections.abc import Iterator

from pixora import clock
from pixora.database.client import Database, Document
from pixora.errors import DatabaseUnavailable
from pixora.factors.totp import STEP_SECONDS
from pixora.upkeep.findings import Finding, fault, ok, unknown, warning

OLDEST = 6
FULL = 0.9

ADVICE = {
    "unauthorized": "Check user, password and authSource in MONGO_URI; the user needs readWrite on the database.",
    "timeout": "It accepts connections but does not answer in DATABASE_TIMEOUT_MS: check its load and its log.",
    "full": "Give it more disk space.",
}


def reachable(database: Database) -> Iterator[Finding]:
    """Check that the primary answers."""
    try:
        database.ask("ping")
    except DatabaseUnavailable as error:
        advice = "Check that it runs and has a primary, and that firewalls or Atlas's access list allow this machine."
        yield fault(f"The database does not answer ({error.reason}).", ADVICE.get(error.reason, advice))
    else:
        yield ok("The database answers.")


def version(database: Database) -> Iterator[Finding]:
    """Check that the server is recent enough."""
    yield judge_version(str(database.ask("buildInfo")["version"]))


def judge_version(version: str) -> Finding:
    """Judge a server's version."""
    if int(version.partition(".")[0]) < OLDEST:
        return fault(f"MongoDB is {version}.", f"Pixora needs {OLDEST}.0 or later.")
    return ok(f"MongoDB is {version}.")


def topology(database: Database) -> Iterator[Finding]:
    """Check that another member can take over when the primary fails."""
    yield judge_topology(database.ask("hello"))


def judge_topology(hello: Document) -> Finding:
    """Judge a server's answer to `hello`."""
    members = len(hello.get("hosts", ())) + len(hello.get("passives", ()))
    if hello.get("msg") == "isdbgrid":
        return ok("The database is a sharded cluster.")
    if "setName" not in hello:
        return warning(
            "MongoDB is a standalone server: while it is down, so is Pixora.",
            "Make it a replica set of three members; even a single member gives retryable writes.",
        )
    if members < 3:
        return warning(
            f"The replica set has {members} data-bearing {'member' if members == 1 else 'members'}: when one fails, "
            "Pixora cannot write, or data that only this member had is lost.",
            "Use three.",
        )
    return ok(f"The replica set has {members} members.")


def clocks(database: Database) -> Iterator[Finding]:
    """Compare the clock of this machine with the server's."""
    before = clock.utcnow()
    theirs = database.ask("hello")["localTime"].replace(tzinfo=clock.UTC)  # PyMongo omits the zone
    apart = (theirs - before - (clock.utcnow() - before) / 2).total_seconds()
    if abs(apart) > clock.LEEWAY_SECONDS:
        codes = ", and codes of authenticator apps may be refused" if abs(apart) > STEP_SECONDS else ""
        yield fault(
            f"The clocks of this machine and of MongoDB are {abs(apart):.0f} seconds apart: throttles and tokens "
            f"expire at the wrong time{codes}.",
            "Synchronise both with NTP.",
        )
    else:
        yield ok("The clocks of this machine and of MongoDB agree.")


def disk(database: Database) -> Iterator[Finding]:
    """Check that the server has disk space left."""
    yield judge_disk(database.ask("dbStats"))


def judge_disk(stats: Document) -> Finding:
    """Judge a server's answer to `dbStats`."""
    used, total = stats.get("fsUsedSize"), stats.get("fsTotalSize")
    if not used or not total:
        return unknown("The server does not report its disk usage.")
    message = f"The disk of MongoDB is {used / total:.0%} full."
    return warning(message, "Free some space before writes fail.") if used / total > FULL else ok(message)


def indexes(database: Database) -> Iterator[Finding]:
    """Compare the required indexes and their options with the existing ones. Additional indexes are fine."""
    faults = database.index_faults()
    for found in faults:
        if found.there is None:
            yield fault(f"The index {found.name} is missing.", "flask --app wsgi db upgrade")
        else:
            yield fault(
                f"The index {found.name} is wrong: its {' and '.join(found.options)} differs.",
                "flask --app wsgi db upgrade"
                if found.can_be_changed
                else f'Drop it, in mongosh: db.{found.collection}.dropIndex("{found.there}"). '
                "Then: flask --app wsgi db upgrade",
            )
    if not faults:
        yield ok("All indexes exist with the right options.")
