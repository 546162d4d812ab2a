import pytest

import config
from pixora.throttling.rates import parse


@pytest.mark.parametrize(
    ("text", "limit", "seconds"),
    [
        ("10 per 15 minute", (10, 15, "minute"), 900),
        ("100 per hour", (100, 1, "hour"), 3600),
        ("5/second", (5, 1, "second"), 1),
        ("20 / 2 Days", (20, 2, "day"), 172_800),
        ("1per month", (1, 1, "month"), 2_592_000),
        ("1000000 per 1 years", (1_000_000, 1, "year"), 31_104_000),
    ],
)
def test_a_limit_that_the_configuration_accepts_is_understood(text, limit, seconds):
    config._limit(text)
    assert parse(text) == limit
    assert parse(text).seconds == seconds


@pytest.mark.parametrize("text", ["", "10", "per hour", "10 per fortnight", "5 per hour; 1 per second", "-1 per hour"])
def test_another_notation_is_an_error(text):
    with pytest.raises(ValueError, match="not a limit"):
        parse(text)
