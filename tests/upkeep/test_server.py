import pytest

from pixora.upkeep.findings import State
from pixora.upkeep.server import judge_disk, judge_topology, judge_version

THREE = ["a:1", "b:1", "c:1"]


@pytest.mark.parametrize(("told", "state"), [("5.0.31", State.FAULT), ("6.0.5", State.OK), ("10.1.0-rc0", State.OK)])
def test_a_version_that_is_too_old_is_a_fault(told, state):
    assert judge_version(told).state is state


@pytest.mark.parametrize(
    ("hello", "state", "told"),
    [
        ({"setName": "rs0", "hosts": THREE}, State.OK, "3 members"),
        ({"setName": "rs0", "hosts": THREE[:2], "passives": THREE[2:]}, State.OK, "3 members"),
        ({"setName": "rs0", "hosts": THREE[:2], "arbiters": THREE[2:]}, State.WARNING, "2 members with data"),
        ({"setName": "rs0", "hosts": THREE[:1]}, State.WARNING, "1 member with data"),
        ({}, State.WARNING, "runs alone"),
        ({"msg": "isdbgrid"}, State.OK, "sharded"),
    ],
)
def test_what_does_not_outlive_the_loss_of_a_member_is_told_of(hello, state, told):
    finding = judge_topology(hello)
    assert finding.state is state
    assert told in finding.told


@pytest.mark.parametrize(
    ("stats", "state"),
    [
        ({"fsUsedSize": 50.0, "fsTotalSize": 100.0}, State.OK),
        ({"fsUsedSize": 95.0, "fsTotalSize": 100.0}, State.WARNING),
        ({}, State.UNKNOWN),
    ],
)
def test_a_disk_that_is_nearly_full_is_told_of(stats, state):
    assert judge_disk(stats).state is state
