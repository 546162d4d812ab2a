"""Each raw request of the corpus, sent in every manner, and the exact answer to it."""

import pytest

from tests.server.client import GOOD
from tests.server.corpus import CASES

MANNERS = {"whole": 0, "byte by byte": 1, "in pieces": 7}
MOST_PIECES = 5_000


def expect(client, case):
    """Read the answer to a case; return whether another may follow."""
    answer = client.answer(case.raw.lstrip().partition(b" ")[0])
    if answer.status == 100:
        answer = client.answer()
    assert answer.status == case.status
    assert ("close" in answer.fields.get("connection", "")) != case.stays
    if case.got is None:
        assert answer.fields["content-type"] == "application/problem+json"
        assert answer.json["status"] == case.status
        assert answer.json["request_id"] == answer.fields["x-request-id"]
    else:
        assert {name: answer.json.get(name) for name in case.got} == case.got


def test_the_corpus_is_large():
    assert len(CASES) >= 120
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_alone(client, case, manner):
    client.send(case.raw, max(MANNERS[manner], MANNERS[manner] and len(case.raw) // MOST_PIECES))
    expect(client, case)
    assert client.is_open() if case.stays else client.rest() == b""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_behind_a_good_one(client, case):
    client.send(GOOD + case.raw)
    assert client.answer().json["PATH_INFO"] == "/good"
    expect(client, case)
    assert client.is_open() if case.stays else client.rest() == b""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_before_a_good_one(client, case):
    client.send(case.raw + GOOD)
    expect(client, case)
    if case.stays:
        assert client.answer().json["PATH_INFO"] == "/good"
        assert client.is_open()
    else:
        assert client.rest() == b""
