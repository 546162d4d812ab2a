"""The doctor's look at MongoDB: is it there, is it what we need, are its clock and its indexes right."""

from collections.abc import Iterator

from pixora import clock
from pixora.database import Database
from pixora.errors import DatabaseUnavailable
from pixora.upkeep.findings import Finding, fault, ok, warning

OLDEST = 6
MOST_SECONDS_APART = 5
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
    told = str(database.ask("buildInfo")["version"])
    if int(told.partition(".")[0]) < OLDEST:
        yield fault(f"MongoDB is {told}.", f"Pixora needs {OLDEST}.0 or later.")
    else:
        yield ok(f"MongoDB is {told}.")


def topology(database: Database) -> Iterator[Finding]:
    """Look at whether there is another member to go on with when the primary dies."""
    hello = database.ask("hello")
    members = len(hello.get("hosts", ())) + len(hello.get("passives", ()))
    if hello.get("msg") == "isdbgrid":
        yield ok("The database is a sharded cluster.")
    elif "setName" not in hello:
        yield warning(
            "MongoDB runs alone, and not as a replica set: while it is down, so is Pixora.",
            "Make it a replica set of three; one of one member at least has retryable writes.",
        )
    elif members < 3:
        yield warning(
            f"The replica set has {members} {'member' if members == 1 else 'members'} with data: nobody takes over "
            "from a primary that dies, or what is lost with it is lost.",
            "Have three.",
        )
    else:
        yield ok(f"The replica set has {members} members.")


def clocks(database: Database) -> Iterator[Finding]:
    """Compare the clock of this machine with the server's."""
    before = clock.utcnow()
    theirs = database.ask("hello")["localTime"].replace(tzinfo=clock.UTC)  # which PyMongo leaves out
    apart = (theirs - before - (clock.utcnow() - before) / 2).total_seconds()
    if abs(apart) > MOST_SECONDS_APART:
        yield fault(
            f"The clocks of this machine and of MongoDB are {abs(apart):.0f} seconds apart: throttles and tokens end "
            "at the wrong time.",
            "Have both follow NTP.",
        )
    else:
        yield ok("The clocks of this machine and of MongoDB agree.")


def disk(database: Database) -> Iterator[Finding]:
    """Look at how full the server's disk is, where it tells."""
    told = database.ask("dbStats")
    used, total = told.get("fsUsedSize"), told.get("fsTotalSize")
    if not used or not total:
        yield ok("The server does not tell how full its disk is.")
    elif used / total > FULL:
        yield warning(f"The disk of MongoDB is {used / total:.0%} full.", "Make room before writes fail.")
    else:
        yield ok(f"The disk of MongoDB is {used / total:.0%} full.")


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
