"""The doctor's look at MongoDB: is it there, is it what we need, are its clock and its indexes right."""

from collections.abc import Iterator

from pixora import clock
from pixora.database.client import Database, Document
from pixora.errors import DatabaseUnavailable
from pixora.upkeep.findings import Finding, fault, ok, unknown, warning

OLDEST = 6
FULL = 0.9

ADVICE = {
    "unauthorized": "See user, password and authSource in MONGO_URI; the user needs readWrite on the database.",
    "timeout": "It takes connections and does not answer: see its load and its log. DATABASE_TIMEOUT_MS is our limit.",
    "full": "Give it more disk.",
}


def reachable(database: Database) -> Iterator[Finding]:
    """Ask the primary for a sign of life."""
    try:
        database.ask("ping")
    except DatabaseUnavailable as error:
        advice = "Is it running, has it a primary, does a firewall or Atlas's access list let this machine through?"
        yield fault(f"The database does not answer ({error.reason}).", ADVICE.get(error.reason, advice))
    else:
        yield ok("The database answers.")


def version(database: Database) -> Iterator[Finding]:
    """Look at the version of the server."""
    yield judge_version(str(database.ask("buildInfo")["version"]))


def judge_version(told: str) -> Finding:
    """Say whether Pixora can do with this version."""
    if int(told.partition(".")[0]) < OLDEST:
        return fault(f"MongoDB is {told}.", f"Pixora needs {OLDEST}.0 or later.")
    return ok(f"MongoDB is {told}.")


def topology(database: Database) -> Iterator[Finding]:
    """Look at whether there is another member to go on with when the primary dies."""
    yield judge_topology(database.ask("hello"))


def judge_topology(hello: Document) -> Finding:
    """Say whether what answers so goes on when one of it dies."""
    members = len(hello.get("hosts", ())) + len(hello.get("passives", ()))
    if hello.get("msg") == "isdbgrid":
        return ok("The database is a sharded cluster.")
    if "setName" not in hello:
        return warning(
            "MongoDB runs alone, and not as a replica set: while it is down, so is Pixora.",
            "Make it a replica set of three; one of one member at least has retryable writes.",
        )
    if members < 3:
        return warning(
            f"The replica set has {members} {'member' if members == 1 else 'members'} with data: when one dies, Pixora "
            "cannot write, or what this one alone had is lost.",
            "Have three.",
        )
    return ok(f"The replica set has {members} members.")


def clocks(database: Database) -> Iterator[Finding]:
    """Compare the clock of this machine with the server's."""
    before = clock.utcnow()
    theirs = database.ask("hello")["localTime"].replace(tzinfo=clock.UTC)  # which PyMongo leaves out
    apart = (theirs - before - (clock.utcnow() - before) / 2).total_seconds()
    if abs(apart) > clock.LEEWAY_SECONDS:
        yield fault(
            f"The clocks of this machine and of MongoDB are {abs(apart):.0f} seconds apart: throttles and tokens end "
            "at the wrong time.",
            "Have both follow NTP.",
        )
    else:
        yield ok("The clocks of this machine and of MongoDB agree.")


def disk(database: Database) -> Iterator[Finding]:
    """Look at how full the server's disk is, where it tells."""
    yield judge_disk(database.ask("dbStats"))


def judge_disk(stats: Document) -> Finding:
    """Say whether there is room for more."""
    used, total = stats.get("fsUsedSize"), stats.get("fsTotalSize")
    if not used or not total:
        return unknown("The server does not tell how full its disk is.")
    told = f"The disk of MongoDB is {used / total:.0%} full."
    return warning(told, "Make room before writes fail.") if used / total > FULL else ok(told)


def indexes(database: Database) -> Iterator[Finding]:
    """Compare the indexes, options included, with those that there must be. Others do no harm."""
    faults = database.index_faults()
    for found in faults:
        if found.there is None:
            yield fault(f"The index {found.name} is missing.", "flask --app wsgi db upgrade")
        else:
            yield fault(
                f"The index {found.name} is not as it must be: its {' and '.join(found.options)} differs.",
                "flask --app wsgi db upgrade"
                if found.can_be_changed
                else f'Drop it, in mongosh: db.{found.collection}.dropIndex("{found.there}"). '
                "Then: flask --app wsgi db upgrade",
            )
    if not faults:
        yield ok("The indexes are all there, with their options.")
