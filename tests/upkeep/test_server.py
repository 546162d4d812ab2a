import pytest

from pixora.upkeep.findings import State
from pixora.upkeep.server import judge_disk, judge_topology, judge_version

THREE = ["a:1", "b:1", "c:1"]


@pytest.mark.parametrize(("version", "state"), [("5.0.31", State.FAULT), ("6.0.5", State.OK), ("10.1.0-rc0", State.OK)])
def test_an_old_version_is_a_fault(version, state):
    assert judge_version(version).state is state


@pytest.mark.parametrize(
    ("hello", "state", "message"),
    [
        ({"setName": "rs0", "hosts": THREE}, State.OK, "3 members"),
        ({"setName": "rs0", "hosts": THREE[:2], "passives": THREE[2:]}, State.OK, "3 members"),
        ({"setName": "rs0", "hosts": THREE[:2], "arbiters": THREE[2:]}, State.WARNING, "2 data-bearing members"),
        ({"setName": "rs0", "hosts": THREE[:1]}, State.WARNING, "1 data-bearing member:"),
        ({}, State.WARNING, "is a standalone server"),
        ({"msg": "isdbgrid"}, State.OK, "sharded"),
    ],
)
def test_a_topology_that_does_not_survive_the_loss_of_a_member_is_reported(hello, state, message):
    finding = judge_topology(hello)
    assert finding.state is state
    assert message in finding.message


@pytest.mark.parametrize(
    ("stats", "state"),
    [
        ({"fsUsedSize": 50.0, "fsTotalSize": 100.0}, State.OK),
        ({"fsUsedSize": 95.0, "fsTotalSize": 100.0}, State.WARNING),
        ({}, State.UNKNOWN),
    ],
)
def test_a_nearly_full_disk_is_reported(stats, state):
    assert judge_disk(stats).state is state
