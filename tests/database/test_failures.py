import pytest
from pymongo.errors import BulkWriteError

from pixora.database.failures import DUPLICATE_KEY, reason


def of_many(*codes, concern=()):
    return BulkWriteError({"writeErrors": [{"code": code} for code in codes], "writeConcernErrors": list(concern)})


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (of_many(DUPLICATE_KEY), None),
        (of_many(DUPLICATE_KEY, 14031), "full"),
        (of_many(11601), "unreachable"),
        (of_many(50), "timeout"),
        (of_many(DUPLICATE_KEY, concern=[{"code": 91, "errmsg": "going down"}]), "unreachable"),
    ],
)
def test_of_many_writes_at_once_one_that_met_an_outage_is_enough(mongo, error, word):
    assert reason(error, mongo) == word
