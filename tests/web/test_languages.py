import pytest

from pixora.web.languages import candidates, canonical, direction, preferred


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("DE", "de"),
        ("de-at", "de-AT"),
        ("ZH-HANT-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("de-x-BY-Test", "de-x-by-test"),
        ("sl-rozaj", "sl-rozaj"),
    ],
)
def test_a_tag_has_its_canonical_case(tag, expected):
    assert canonical(tag) == expected


@pytest.mark.parametrize(
    "tag",
    [
        "",
        "d",
        "*",
        "de_AT",
        "de-",
        "-de",
        "de--AT",
        "../de",
        "de\n",
        "dé",
        "x" * 36,
        "a-b",
        "de-123456789",
    ],
)
def test_what_is_no_tag_is_rejected(tag):
    with pytest.raises(ValueError, match="language tag"):
        canonical(tag)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        ("*", []),
        ("de", ["de"]),
        ("en;q=0.5, de-at, fr;q=0.8", ["de-AT", "fr", "en"]),
        ("de;q=0, en", ["en"]),
        ("de, DE, de;q=0.3", ["de"]),
        ("de_AT, <script>, en;q=x", []),
        ("a,b,c,d,e,fr", ["fr"]),
        ("aa,bb,cc,dd,ee,ff", ["aa", "bb", "cc", "dd", "ee"]),
        ("de," + "en-" * 5000, ["de"]),
        ("x" * 10_000, []),
    ],
)
def test_the_languages_of_a_browser_are_read_in_their_order(header, expected):
    assert preferred(header) == expected


def test_each_tag_is_followed_by_the_more_general_ones():
    assert candidates(["zh-Hant-TW", "de", "de-AT"]) == ["zh-Hant-TW", "zh-Hant", "zh", "de", "de-AT"]


def test_scripts_have_a_direction():
    assert [direction(tag) for tag in ("ar-EG", "he", "de", "en")] == ["rtl", "rtl", "ltr", "ltr"]
