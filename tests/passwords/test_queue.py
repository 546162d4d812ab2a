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

import pytest

from pixora.errors import Overloaded
from pixora.passwords.cores import NICENESS, CoreLock
from pixora.passwords.queue import LATE_FACTOR, HashingQueue
from tests import ROOT
from tests.factories import PASSWORD, log_in, sign_up
from tests.timeouts import LONG, SOON


@pytest.fixture
def make_queue(tmp_path):
    """Make a queue; all queues of a test share the core locks."""

    queues = []

    def make_queue(cores=2, slots=100, timeout=0.3, **options):
        queues.append(HashingQueue(cores, slots, timeout, lock_directory=tmp_path, **options))
        return queues[-1]

    yield make_queue
    for queue in queues:
        queue.close()


class Gate:
    """A job that runs until the gate is opened."""

    def __init__(self):
        self.begun = threading.Semaphore(0)
        self.opened = threading.Event()

    def pass_through(self, value=None):
        self.begun.release()
        assert self.opened.wait(LONG)
        return value


def test_a_job_returns_its_result_or_raises_its_error(make_queue):
    queue = make_queue()
    assert queue.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        queue.run(divmod, 7, 0)


def test_a_closed_queue_computes_the_waiting_jobs_and_ends_its_threads(make_queue):
    queue, gate = make_queue(cores=1, timeout=60), Gate()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(queue.run, gate.pass_through, 1)
        assert gate.begun.acquire(timeout=LONG)
        second = pool.submit(queue.run, gate.pass_through, 2)
        while queue._unfinished < 2:
            time.sleep(0.001)
        queue.close()
        gate.opened.set()
        assert [first.result(LONG), second.result(LONG)] == [1, 2]
    deadline = time.monotonic() + LONG
    while queue._core_locks and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not queue._core_locks


def test_jobs_run_at_a_lower_priority_than_requests(make_queue):
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert make_queue().run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())) == before + NICENESS
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_no_more_jobs_run_at_once_than_there_are_cores(make_queue):
    queue, running, most = make_queue(timeout=30), [], []

    def job():
        running.append(1)
        most.append(len(running))
        time.sleep(0.01)
        running.pop()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: queue.run(job), range(20)))
    assert max(most) == 2


def test_two_queues_share_the_cores(make_queue):
    queues, gate = [make_queue(timeout=30), make_queue(timeout=30)], Gate()
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(queue.run, gate.pass_through) for queue in queues * 2]
        for _ in range(2):
            assert gate.begun.acquire(timeout=LONG)
        assert not gate.begun.acquire(timeout=0.2)
        gate.opened.set()
        assert [future.result(LONG) for future in futures] == [None] * 4


def test_one_queue_may_use_every_core_while_the_other_is_idle(make_queue):
    make_queue()
    queue, gate = make_queue(), Gate()
    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(queue.run, gate.pass_through)
        for _ in range(2):
            assert gate.begun.acquire(timeout=LONG)
        gate.opened.set()


def test_two_busy_queues_compute_about_as_many_jobs_each(make_queue):
    queues, turns = [make_queue(timeout=60), make_queue(timeout=60)], []

    def job(number):
        turns.append(number)
        time.sleep(0.01)

    with ThreadPoolExecutor(80) as pool:
        for index in range(80):
            pool.submit(queues[index % 2].run, job, index % 2)
    assert 5 <= sum(turns[:40]) <= 35


def hold_the_core_lock(directory, holding):
    queue = HashingQueue(1, 1, 60, lock_directory=directory)

    def hold():
        holding.set()
        time.sleep(60)

    queue.run(hold)


def test_the_core_lock_of_a_killed_process_is_released(tmp_path, make_queue):
    context = multiprocessing.get_context("spawn")
    holding = context.Event()
    holder = context.Process(target=hold_the_core_lock, args=(tmp_path, holding))
    holder.start()
    assert holding.wait(LONG)
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(make_queue(cores=1, timeout=60).run, divmod, 7, 2)
        time.sleep(0.1)
        assert not got.done()
        os.kill(holder.pid, signal.SIGKILL)
        assert got.result(LONG) == (3, 1)
    holder.join()


def fill(queue, gate, pool, number):
    """Put this many jobs into the queue; two of them run."""
    futures = [pool.submit(queue.run, gate.pass_through) for _ in range(number)]
    for _ in range(2):
        assert gate.begun.acquire(timeout=LONG)
    while queue._unfinished < number:
        time.sleep(0.001)
    return futures


def test_a_job_that_would_begin_too_late_is_refused_at_the_timeout(make_queue):
    queue, gate = make_queue(timeout=0.3), Gate()  # the forecast is an eighth of a second for a job
    with ThreadPoolExecutor(2) as pool:
        admitted = fill(queue, gate, pool, 2)
        began = time.monotonic()
        with pytest.raises(Overloaded):
            queue.run(gate.pass_through)
        assert time.monotonic() - began >= 0.3
        gate.opened.set()
        assert [future.result(LONG) for future in admitted] == [None] * 2


def test_a_request_without_a_slot_is_refused_at_once(make_queue):
    queue = make_queue(slots=2, timeout=60)
    began = time.monotonic()
    with queue.slot(), queue.slot(), pytest.raises(Overloaded), queue.slot():
        pass
    assert time.monotonic() - began < SOON
    with queue.slot():
        pass


def test_an_overloaded_queue_refuses_a_request_before_it_does_anything_else(make_queue):
    queue, gate = make_queue(timeout=0.3), Gate()
    with ThreadPoolExecutor(2) as pool:
        admitted = fill(queue, gate, pool, 2)
        began = time.monotonic()
        with pytest.raises(Overloaded), queue.slot():
            pytest.fail("the block runs")
        assert time.monotonic() - began >= 0.3
        gate.opened.set()
        assert [future.result(LONG) for future in admitted] == [None] * 2
    with queue.slot():
        pass


def test_an_admitted_job_is_withdrawn_when_the_machine_has_become_slower(make_queue):
    queue, gate, computed = make_queue(timeout=0.45), Gate(), []
    with ThreadPoolExecutor(3) as pool:
        fill(queue, gate, pool, 2)
        began = time.monotonic()
        with pytest.raises(Overloaded):
            queue.run(computed.append, 1)
        assert time.monotonic() - began >= 0.45
        gate.opened.set()
    assert queue.run(computed.append, 2) is None
    assert computed == [2]


def test_a_job_that_has_begun_is_awaited_beyond_the_timeout(make_queue):
    queue = make_queue(timeout=0.1)
    assert queue.run(lambda: time.sleep(0.4) or "done") == "done"


def test_a_late_job_is_given_up_when_others_are_refused(make_queue):
    queue, gate = make_queue(cores=1, timeout=0.6), Gate()
    with ThreadPoolExecutor(2) as pool:
        began = time.monotonic()
        slow = pool.submit(queue.run, gate.pass_through)
        assert gate.begun.acquire(timeout=LONG)
        with pytest.raises(Overloaded):
            queue.run(divmod, 7, 2, timeout=0.1)
        with pytest.raises(Overloaded):
            slow.result(LONG)
        assert time.monotonic() - began >= 0.6 * LATE_FACTOR
        gate.opened.set()


def test_a_job_with_a_shorter_timeout_is_refused_sooner(make_queue):
    queue, gate = make_queue(timeout=60), Gate()
    with ThreadPoolExecutor(3) as pool:
        fill(queue, gate, pool, 2)
        began = time.monotonic()
        with pytest.raises(Overloaded):
            queue.run(gate.pass_through, timeout=0.2)
        assert 0.2 <= time.monotonic() - began < SOON
        gate.opened.set()


def test_jobs_are_computed_in_the_order_of_arrival(make_queue):
    queue, gate, order = make_queue(cores=1, timeout=60), Gate(), []
    with ThreadPoolExecutor(8) as pool:
        pool.submit(queue.run, gate.pass_through)
        assert gate.begun.acquire(timeout=LONG)
        for number in range(6):
            pool.submit(queue.run, order.append, number)
            while queue._unfinished < 2 + number:
                time.sleep(0.001)
        gate.opened.set()
    assert order == list(range(6))


def test_nothing_is_computed_for_a_client_that_has_left(make_queue):
    queue, computed = make_queue(), []
    with pytest.raises(Overloaded):
        queue.run(computed.append, 1, is_wanted=lambda: False)
    queue.run(computed.append, 2, is_wanted=lambda: True)
    assert computed == [2]


def test_an_overloaded_service_says_when_to_try_again_and_still_serves_logged_in_users(make_app, users):
    app = make_app(GUNICORN_THREADS=2, HASH_QUEUE_SECONDS=0.2)  # one slot
    client = app.test_client()
    sign_up(client)
    token = log_in(client).json["access_token"]
    with app.extensions["services"].hashing_queue.slot():
        for response in (
            log_in(client),
            sign_up(client),
        ):
            assert response.status_code == 503
            assert response.json["code"] == "overloaded"
            assert int(response.headers["Retry-After"]) >= 1
            assert int(response.headers["X-Accel-Limit-Rate"]) > 0
        assert client.get("/api/users/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_a_lock_directory_open_to_other_users_is_refused(tmp_path):
    program = (
        "import tempfile, sys; tempfile.tempdir = sys.argv[1]; "
        "from pixora.passwords.queue import HashingQueue; HashingQueue(1, 1, 1)"
    )
    (tmp_path / f"pixora-hashing-{os.getuid()}").mkdir(mode=0o777)
    os.chmod(tmp_path / f"pixora-hashing-{os.getuid()}", 0o777)  # noqa: PTH101  # whatever the umask is
    run = subprocess.run([sys.executable, "-c", program, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert "PermissionError" in run.stderr


def test_an_unknown_user_costs_as_much_as_most_hashes(make_app, users, monkeypatch):
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
        log_in(client, f"{name}@example.com", "wrong")
    assert checked == [b"$2b$06$"] * 3


def frozen(directory, name):
    """Hold a core lock and never release it, as a frozen worker does."""
    file = (directory / name).open("a")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


@pytest.mark.parametrize("name", ["core-0", "core-0.next"])
def test_a_frozen_worker_does_not_stop_the_others(make_queue, tmp_path, name):
    with frozen(tmp_path, name):
        queues, running, most = [make_queue(cores=1, timeout=60, rounds=4) for _ in range(2)], [], []

        def job():
            running.append(1)
            most.append(len(running))
            time.sleep(0.02)
            running.pop()

        with ThreadPoolExecutor(10) as pool:
            list(pool.map(lambda number: queues[number % 2].run(job), range(10)))
        assert max(most) == 1, "the queues share the stand-in"


def test_a_frozen_stand_in_gets_a_stand_in_of_its_own(make_queue, tmp_path):
    with frozen(tmp_path, "core-0"), frozen(tmp_path, "core-1"):
        assert make_queue(cores=1, timeout=60, rounds=4).run(divmod, 7, 2) == (3, 1)


def test_a_stand_in_ends_when_its_core_works_again(make_queue, tmp_path):
    queue = make_queue(cores=1, timeout=60, rounds=4)
    with frozen(tmp_path, "core-0"):
        queue.run(divmod, 7, 2)
        assert sorted(queue._core_locks) == [0, 1]
    deadline = time.monotonic() + LONG
    while 1 in queue._core_locks and time.monotonic() < deadline:
        queue.run(divmod, 7, 2)
    assert sorted(queue._core_locks) == [0]


def test_a_core_lock_that_another_worker_keeps_taking_is_not_stalled(tmp_path):
    ours, theirs = CoreLock(tmp_path, 0), CoreLock(tmp_path, 0)
    with theirs.held(), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(hold_once, ours)
        while ours.stalled_for() < 1:
            time.sleep(0.01)
        os.pwrite(theirs._core, struct.pack("d", time.monotonic()), 0)  # as if it had been taken again
        assert ours.stalled_for() < 1
        os.pwrite(theirs._core, struct.pack("d", time.monotonic() + 1e6), 0)  # written before the machine restarted
        assert ours.stalled_for() >= 1
        fcntl.flock(theirs._core, fcntl.LOCK_UN)
        waiting.result(LONG)
    assert ours.stalled_for() == 0.0


def hold_once(core_lock):
    with core_lock.held():
        pass
