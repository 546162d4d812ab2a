import fcntl
import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pixora.errors import Overloaded
from pixora.passwords import cores as machine
from pixora.passwords.cores import NICENESS
from pixora.passwords.queue import LATE_FACTOR, HashingQueue
from tests.factories import PASSWORD, signup_body
from tests.timeouts import LONG, SOON

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def make_room(tmp_path):
    """Make a room; all of a test share their permits."""

    rooms = []

    def make_room(cores=2, slots=100, timeout=0.3, **options):
        rooms.append(HashingQueue(cores, slots, timeout, lock_directory=tmp_path, **options))
        return rooms[-1]

    yield make_room
    for room in rooms:
        room.close()


class Gate:
    """A job that begins, and ends when it is told to."""

    def __init__(self):
        self.begun = threading.Semaphore(0)
        self.opened = threading.Event()

    def pass_through(self, value=None):
        self.begun.release()
        assert self.opened.wait(LONG)
        return value


def test_a_job_s_result_and_its_error_come_back(make_room):
    room = make_room()
    assert room.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        room.run(divmod, 7, 0)


def test_a_room_that_is_closed_does_what_waits_and_leaves_no_thread(make_room):
    room, gate = make_room(cores=1, timeout=60), Gate()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(room.run, gate.pass_through, 1)
        assert gate.begun.acquire(timeout=LONG)
        second = pool.submit(room.run, gate.pass_through, 2)
        while room._ahead < 2:
            time.sleep(0.001)
        room.close()
        gate.opened.set()
        assert [first.result(LONG), second.result(LONG)] == [1, 2]
    deadline = time.monotonic() + LONG
    while room._lock_directory and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not room._lock_directory


def test_jobs_run_at_a_lower_priority_and_requests_do_not(make_room):
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert make_room().run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())) == before + NICENESS
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_no_more_jobs_run_at_once_than_there_are_cores(make_room):
    room, running, most = make_room(timeout=30), [], []

    def job():
        running.append(1)
        most.append(len(running))
        time.sleep(0.01)
        running.pop()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: room.run(job), range(20)))
    assert max(most) == 2


def test_two_rooms_share_the_cores(make_room):
    rooms, gate = [make_room(timeout=30), make_room(timeout=30)], Gate()
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(room.run, gate.pass_through) for room in rooms * 2]
        for _ in range(2):
            assert gate.begun.acquire(timeout=LONG)
        assert not gate.begun.acquire(timeout=0.2)
        gate.opened.set()
        assert [future.result(LONG) for future in futures] == [None] * 4


def test_one_room_may_use_every_core_while_the_other_is_idle(make_room):
    make_room()
    room, gate = make_room(), Gate()
    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(room.run, gate.pass_through)
        for _ in range(2):
            assert gate.begun.acquire(timeout=LONG)
        gate.opened.set()


def test_rooms_that_are_both_busy_have_about_as_many_turns_each(make_room):
    rooms, turns = [make_room(timeout=60), make_room(timeout=60)], []

    def job(number):
        turns.append(number)
        time.sleep(0.01)

    with ThreadPoolExecutor(80) as pool:
        for index in range(80):
            pool.submit(rooms[index % 2].run, job, index % 2)
    assert 5 <= sum(turns[:40]) <= 35


def hold_the_permits(directory, holding):
    room = HashingQueue(1, 1, 60, lock_directory=directory)

    def hold():
        holding.set()
        time.sleep(60)

    room.run(hold)


def test_the_permit_of_a_process_that_is_killed_comes_back(tmp_path, make_room):
    context = multiprocessing.get_context("spawn")
    holding = context.Event()
    holder = context.Process(target=hold_the_permits, args=(tmp_path, holding))
    holder.start()
    assert holding.wait(LONG)
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(make_room(cores=1, timeout=60).run, divmod, 7, 2)
        time.sleep(0.1)
        assert not got.done()
        os.kill(holder.pid, signal.SIGKILL)
        assert got.result(LONG) == (3, 1)
    holder.join()


def fill(room, gate, pool, number):
    """Have this many jobs in the room, two of them running."""
    futures = [pool.submit(room.run, gate.pass_through) for _ in range(number)]
    for _ in range(2):
        assert gate.begun.acquire(timeout=LONG)
    while room._ahead < number:
        time.sleep(0.001)
    return futures


def test_who_cannot_have_a_turn_in_time_waits_the_deadline_out_and_is_told_so(make_room):
    room, gate = make_room(timeout=0.3), Gate()  # at a guess of an eighth of a second a job
    with ThreadPoolExecutor(2) as pool:
        admitted = fill(room, gate, pool, 2)
        began = time.monotonic()
        with pytest.raises(Overloaded):
            room.run(gate.pass_through)
        assert time.monotonic() - began >= 0.3
        gate.opened.set()
        assert [future.result(LONG) for future in admitted] == [None] * 2


def test_who_finds_no_seat_is_refused_at_once(make_room):
    room = make_room(slots=2, timeout=60)
    began = time.monotonic()
    with room.slot(), room.slot(), pytest.raises(Overloaded), room.slot():
        pass
    assert time.monotonic() - began < SOON
    with room.slot():
        pass


def test_who_comes_when_the_room_is_full_waits_the_deadline_out_before_anything_else_is_done(make_room):
    room, gate = make_room(timeout=0.3), Gate()
    with ThreadPoolExecutor(2) as pool:
        admitted = fill(room, gate, pool, 2)
        began = time.monotonic()
        with pytest.raises(Overloaded), room.slot():
            pytest.fail("was let in")
        assert time.monotonic() - began >= 0.3
        gate.opened.set()
        assert [future.result(LONG) for future in admitted] == [None] * 2
    with room.slot():
        pass


def test_what_was_admitted_is_not_begun_too_late_when_the_machine_became_slower(make_room):
    room, gate, computed = make_room(timeout=0.45), Gate(), []
    with ThreadPoolExecutor(3) as pool:
        fill(room, gate, pool, 2)
        began = time.monotonic()
        with pytest.raises(Overloaded):
            room.run(computed.append, 1)
        assert time.monotonic() - began >= 0.45
        gate.opened.set()
    assert room.run(computed.append, 2) is None
    assert computed == [2]


def test_what_has_begun_is_waited_for_beyond_the_deadline(make_room):
    room = make_room(timeout=0.1)
    assert room.run(lambda: time.sleep(0.4) or "done") == "done"


def test_what_has_begun_but_takes_too_long_is_given_up_when_others_are_sent_away(make_room):
    room, gate = make_room(cores=1, timeout=0.6), Gate()
    with ThreadPoolExecutor(2) as pool:
        began = time.monotonic()
        slow = pool.submit(room.run, gate.pass_through)
        assert gate.begun.acquire(timeout=LONG)
        with pytest.raises(Overloaded):
            room.run(divmod, 7, 2, timeout=0.1)
        with pytest.raises(Overloaded):
            slow.result(LONG)
        assert time.monotonic() - began >= 0.6 * LATE_FACTOR
        gate.opened.set()


def test_who_has_less_patience_than_the_room_is_sent_away_sooner(make_room):
    room, gate = make_room(timeout=60), Gate()
    with ThreadPoolExecutor(3) as pool:
        fill(room, gate, pool, 2)
        began = time.monotonic()
        with pytest.raises(Overloaded):
            room.run(gate.pass_through, timeout=0.2)
        assert 0.2 <= time.monotonic() - began < SOON
        gate.opened.set()


def test_turns_come_in_the_order_of_arrival(make_room):
    room, gate, order = make_room(cores=1, timeout=60), Gate(), []
    with ThreadPoolExecutor(8) as pool:
        pool.submit(room.run, gate.pass_through)
        assert gate.begun.acquire(timeout=LONG)
        for number in range(6):
            pool.submit(room.run, order.append, number)
            while room._ahead < 2 + number:
                time.sleep(0.001)
        gate.opened.set()
    assert order == list(range(6))


def test_nothing_is_computed_for_who_has_gone(make_room):
    room, computed = make_room(), []
    with pytest.raises(Overloaded):
        room.run(computed.append, 1, is_wanted=lambda: False)
    room.run(computed.append, 2, is_wanted=lambda: True)
    assert computed == [2]


def test_an_overloaded_service_says_when_to_try_again_and_still_serves_who_is_logged_in(make_app, users):
    app = make_app(GUNICORN_THREADS=2, HASH_QUEUE_SECONDS=0.2)  # one seat
    client = app.test_client()
    client.post("/api/auth/signup", json=signup_body())
    form = {"username": "ada@example.com", "password": PASSWORD}
    token = client.post("/api/auth/login", data=form).json["access_token"]
    with app.extensions["services"].hashing_queue.slot():
        for response in (
            client.post("/api/auth/login", data=form),
            client.post("/api/auth/signup", json=signup_body()),
        ):
            assert response.status_code == 503
            assert response.json["code"] == "overloaded"
            assert int(response.headers["Retry-After"]) >= 1
            assert int(response.headers["X-Accel-Limit-Rate"]) > 0
        assert client.get("/api/users/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_the_locks_of_someone_else_are_refused(tmp_path):
    program = (
        "import tempfile, sys; tempfile.tempdir = sys.argv[1]; "
        "from pixora.passwords.queue import HashingQueue; HashingQueue(1, 1, 1)"
    )
    (tmp_path / f"pixora-hashing-{os.getuid()}").mkdir(mode=0o777)
    os.chmod(tmp_path / f"pixora-hashing-{os.getuid()}", 0o777)  # noqa: PTH101  # whatever the umask is
    run = subprocess.run([sys.executable, "-c", program, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert "PermissionError" in run.stderr


def test_an_unknown_user_costs_what_most_hashes_do(make_app, users, monkeypatch):
    import bcrypt  # noqa: PLC0415

    stored = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(6)).decode()
    app = make_app(BCRYPT_ROUNDS=5)
    users.insert_one({"_id": "0" * 24, "email": "ada@example.com", "password": stored})
    client, checked = app.test_client(), []
    check = bcrypt.checkpw
    monkeypatch.setattr(
        "pixora.passwords.verify.bcrypt.checkpw", lambda *args: checked.append(args[1][:7]) or check(*args)
    )
    for name in ("ada", "ada", "nobody"):
        client.post("/api/auth/login", data={"username": f"{name}@example.com", "password": "wrong"})
    assert checked == [b"$2b$06$"] * 3


def frozen(directory, name):
    """Hold a lock of the core as a frozen worker does: without ever giving it back."""
    file = (directory / name).open("a")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


@pytest.mark.parametrize("name", ["core-0", "core-0.next"])
def test_a_frozen_worker_does_not_stop_the_others(make_room, tmp_path, name):
    with frozen(tmp_path, name):
        rooms, running, most = [make_room(cores=1, timeout=60, rounds=4) for _ in range(2)], [], []

        def job():
            running.append(1)
            most.append(len(running))
            time.sleep(0.02)
            running.pop()

        with ThreadPoolExecutor(10) as pool:
            list(pool.map(lambda number: rooms[number % 2].run(job), range(10)))
        assert max(most) == 1, "the stand-in is shared as well"


def test_a_stand_in_that_is_frozen_as_well_has_one_of_its_own(make_room, tmp_path):
    with frozen(tmp_path, "core-0"), frozen(tmp_path, "core-1"):
        assert make_room(cores=1, timeout=60, rounds=4).run(divmod, 7, 2) == (3, 1)


def test_a_stand_in_ends_when_the_core_moves_again(make_room, tmp_path):
    room = make_room(cores=1, timeout=60, rounds=4)
    with frozen(tmp_path, "core-0"):
        room.run(divmod, 7, 2)
        assert sorted(room._lock_directory) == [0, 1]
    deadline = time.monotonic() + LONG
    while 1 in room._lock_directory and time.monotonic() < deadline:
        room.run(divmod, 7, 2)
    assert sorted(room._lock_directory) == [0]


def test_a_core_that_another_worker_uses_all_the_time_is_not_stalled(tmp_path):
    ours, theirs = machine.Permit(tmp_path, 0), machine.Permit(tmp_path, 0)
    with theirs.held(), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(hold_once, ours)
        while ours.stalled_for() < 1:
            time.sleep(0.01)
        os.pwrite(theirs._core, struct.pack("d", time.monotonic()), 0)  # as if it was taken again
        assert ours.stalled_for() < 1
        os.pwrite(theirs._core, struct.pack("d", time.monotonic() + 1e6), 0)  # written before a restart of the machine
        assert ours.stalled_for() >= 1
        fcntl.flock(theirs._core, fcntl.LOCK_UN)
        waiting.result(LONG)
    assert ours.stalled_for() == 0.0


def hold_once(permit):
    with permit.held():
        pass
