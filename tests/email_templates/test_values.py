"""Names and other values in e-mails are harmless."""

from datetime import UTC, datetime, timedelta

import pytest

from pixora.email_templates.values import LONGEST_NAME, duration_in_words, harmless, time_in_words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ada", "Ada"),
        ("  Ada \t King ", "Ada King"),
        ("Ada\r\nBcc: eve@example.com", "Ada Bcc: eve@example.com"),
        ("Ada\n\n-> Press here", "Ada -> Press here"),
        ("-> Press here", "Press here"),
        ("\u202eadA\u202c", "adA"),
        ("\u2066Ada\u2069\u200f\u061c", "Ada"),
        ("A\u200bda\ufeff\u00ad", "Ada"),
        ("Ada\u2028King\u2029x", "Ada King x"),
        ("A\x00d\x1ba\x7f", "Ada"),
        ("نمی\u200cدانم", "نمی\u200cدانم"),
        ("<b>Ada</b>", "<b>Ada</b>"),
        ("{{ config }}", "{{ config }}"),
        ("\u202e\n", ""),
        (None, ""),
        (7, ""),
    ],
)
def test_a_value_is_one_line_without_control_characters(text, expected):
    assert harmless(text) == expected


def test_a_long_name_is_cut():
    cut = harmless("Wolfeschlegelsteinhausenbergerdorff" * 2, LONGEST_NAME)
    assert len(cut) == LONGEST_NAME
    assert cut.endswith("…")
    assert harmless("x" * LONGEST_NAME, LONGEST_NAME) == "x" * LONGEST_NAME


@pytest.mark.parametrize(
    ("language", "time", "half_an_hour", "a_day"),
    [
        ("en", "5 March 2026, 09:07 UTC", "30 minutes", "24 hours"),
        ("en-GB", "5 March 2026, 09:07 UTC", "30 minutes", "24 hours"),
        ("de", "5. März 2026, 09:07 UTC", "30 Minuten", "24 Stunden"),
        ("de-AT", "5. März 2026, 09:07 UTC", "30 Minuten", "24 Stunden"),
        ("fr", "2026-03-05 09:07 UTC", "30 min", "24 h"),
    ],
)
def test_times_are_in_the_language_of_the_email(language, time, half_an_hour, a_day):
    assert time_in_words(datetime(2026, 3, 5, 9, 7, tzinfo=UTC), language) == time
    assert duration_in_words(timedelta(minutes=30), language) == half_an_hour
    assert duration_in_words(timedelta(hours=24), language) == a_day
