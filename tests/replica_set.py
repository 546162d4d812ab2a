"""A replica set of three members on this machine, to be hurt.

Here and not in `script/mongod.py`, which has what `script/server` needs: only tests want members that die.
"""

import contextlib
import os
import signal
import time

import pymongo
from mongod import REPLICA_SET, Mongod, MongodFailed, free_port
from pymongo.errors import PyMongoError

import config

ELECTION_SECONDS = 2
"""After so long without a word from the primary the others elect another; MongoDB's default is 10."""

WAIT_SECONDS = 120
PRIMARY, SECONDARY = 1, 2


class ReplicaSet:
    """Three members, each on a port and with data that stay its own from one start to the next.

    Use it as a context manager; at its end the members are killed, hung or not. They accept `failCommand`.
    """

    def __init__(self, folder):
        arguments = ("--setParameter", "enableTestCommands=1")
        self.members = [
            Mongod(folder / str(number), binary=config.mongod(), arguments=arguments) for number in range(3)
        ]

    def __enter__(self):
        try:
            for member in self.members:
                member.launch(free_port())
            self._initiate()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for member in self.members:
            self.kill(member)

    def uri(self, database):
        """Return a URI that names all members."""
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in self.members)
        return f"mongodb://{hosts}/{database}?replicaSet={REPLICA_SET}"

    def primary(self):
        """Return the member that is primary, as soon as there is one that the majority knows of."""
        return self._wait(self._primary_now, "no primary")

    def kill(self, member):
        """End a member with SIGKILL, as a power cut would. Does nothing when it is not running."""
        if member.is_running:
            os.kill(member.pid, signal.SIGKILL)
        member.stop()  # reaps it

    def suspend(self, member):
        """Make a member hang: its connections stay open and nothing answers."""
        os.kill(member.pid, signal.SIGSTOP)

    def resume(self, member):
        os.kill(member.pid, signal.SIGCONT)

    def restart(self, member):
        """Start a member that was killed, on its port and its data."""
        member.launch(member.port)

    def secondary(self):
        """Return one of the members that are not primary."""
        primary = self.primary()
        return next(member for member in self.members if member is not primary)

    def client(self, member, **options):
        """Return a client of one member, whatever its state."""
        return pymongo.MongoClient("127.0.0.1", member.port, directConnection=True, **options)

    def wait_until_whole(self):
        """Wait until one member is primary and the others have all that it has."""
        self._wait(self._is_whole, "not whole")

    def _initiate(self):
        members = [{"_id": number, "host": f"127.0.0.1:{m.port}"} for number, m in enumerate(self.members)]
        settings = {"electionTimeoutMillis": 1000 * ELECTION_SECONDS}
        wanted = {"_id": REPLICA_SET, "members": members, "settings": settings}
        self._wait(lambda: all(map(self._is_up, self.members)), "not up")
        with self.client(self.members[0], timeoutMS=1000 * WAIT_SECONDS) as client:
            client.admin.command("replSetInitiate", wanted)
        self.wait_until_whole()

    def _is_up(self, member):
        if not member.is_running:
            raise MongodFailed(member.why_it_ended())
        return self._ask(member, "ping")

    def _primary_now(self):
        states = [(self._states(member), member) for member in self.members]
        known = [state for state, _ in states if state]
        for state, member in states:
            name = f"127.0.0.1:{member.port}"
            if state.get(name) == PRIMARY and sum(other.get(name) == PRIMARY for other in known) >= 2:
                return member
        return None

    def _is_whole(self):
        states = [self._states(member) for member in self.members]
        return all(sorted(state.values()) == [PRIMARY, SECONDARY, SECONDARY] for state in states)

    def _states(self, member):
        """Return how this member sees each of them, by host and port; nothing when it does not answer."""
        status = self._ask(member, "replSetGetStatus") or {"members": []}
        return {seen["name"]: seen["state"] for seen in status["members"]}

    def _ask(self, member, *command):
        if not member.is_running:
            return None
        with contextlib.suppress(PyMongoError), self.client(member, timeoutMS=500) as client:
            return client.admin.command(*command)
        return None

    @staticmethod
    def _wait(condition, complaint):
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            if result := condition():
                return result
            time.sleep(0.1)
        raise TimeoutError(f"The replica set is {complaint} after {WAIT_SECONDS} seconds.")
