import os
import signal
import stat

import pymongo
import pytest
from mongod import Mongod, MongodFailed, find_mongod

import config


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def start(data, **options):
    return Mongod(data, binary=config.mongod(), **options)


def test_data_is_kept_from_one_start_to_the_next_on_another_port(data):
    with start(data) as mongod, pymongo.MongoClient(mongod.uri("kept")) as client:
        client.kept.things.insert_one({"_id": 1})
        first_port = mongod.port
    with start(data) as mongod, pymongo.MongoClient(mongod.uri("kept")) as client:
        assert mongod.port != first_port
        assert client.kept.things.count_documents({}) == 1
        with client.start_session() as session, session.start_transaction():
            client.kept.things.insert_one({"_id": 2}, session=session)


def test_data_survives_a_kill(data):
    with start(data) as mongod:
        with pymongo.MongoClient(mongod.uri("kept")) as client:  # closed first: it would look for the server for long
            things = client.kept.things.with_options(write_concern=pymongo.WriteConcern("majority", j=True))
            things.insert_one({"_id": 1})
        os.kill(mongod.pid, signal.SIGKILL)
        os.waitpid(mongod.pid, 0)
    assert (data / "mongod.lock").read_text().strip()
    with start(data) as mongod, pymongo.MongoClient(mongod.uri("kept")) as client:
        assert client.kept.things.count_documents({}) == 1


def test_a_second_one_on_the_same_data_is_refused_with_a_sentence(data):
    with start(data) as first:
        with pytest.raises(MongodFailed, match=f"in use by another mongod \\(process {first.pid}\\)"):
            start(data).start()
        with pymongo.MongoClient(first.uri("x")) as client:
            client.admin.command("ping")


def test_it_is_reached_from_this_machine_only(data):
    with start(data) as mongod, pymongo.MongoClient(mongod.uri("x")) as client:
        assert client.admin.command("getCmdLineOpts")["parsed"]["net"]["bindIp"] == "127.0.0.1"


def test_a_mongod_that_does_not_start_says_where_to_look(data):
    with pytest.raises(MongodFailed, match="mongod ended at once"):
        start(data, arguments=["--no-such-option"]).start()


def test_a_mongod_that_lacks_a_library_says_what_to_install(data, tmp_path):
    program = tmp_path / "mongod"
    program.write_text(
        "#!/bin/sh\necho 'mongod: error while loading shared libraries: libcurl.so.4: cannot open' >&2\nexit 127\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(MongodFailed, match="apt-get install libcurl4"):
        Mongod(data, binary=str(program)).start()


def test_the_one_that_was_asked_for_must_be_there():
    with pytest.raises(MongodFailed, match="PIXORA_MONGOD"):
        find_mongod("/nowhere/mongod")


def test_the_one_on_the_path_comes_before_the_one_of_the_wheel(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    wheel = find_mongod()
    (tmp_path / "mongod").touch(mode=0o755)
    assert find_mongod() == str(tmp_path / "mongod") != wheel


def test_what_is_not_running_has_no_process(data):
    with pytest.raises(MongodFailed, match="not running"):
        _ = start(data).pid
