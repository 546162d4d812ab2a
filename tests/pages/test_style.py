"""The colours of the pages, light and dark, meet WCAG 2.2 AA."""

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).resolve().parents[2] / "pixora/static/pages.css").read_text()
LIGHT, DARK = (dict(re.findall(r"--([\w-]+): #(\w{6});", block)) for block in CSS.split("@media (prefers-color")[:2])

TEXT, GRAPHICS = 4.5, 3.0
"""Success criterion 1.4.3 for text; 1.4.11 for borders of fields, icons and focus rings."""

PAIRS = [
    ("text", "card", TEXT),
    ("text", "bad-page", TEXT),
    ("quiet", "page", TEXT),
    ("quiet", "card", TEXT),
    ("text", "field", TEXT),
    ("bad", "card", TEXT),
    ("on-accent", "accent", TEXT),
    ("on-accent", "accent-strong", TEXT),
    ("field-edge", "card", GRAPHICS),
    ("field-edge", "field", GRAPHICS),
    ("accent", "card", GRAPHICS),
    ("accent", "card", TEXT),
    ("good", "card", GRAPHICS),
    ("bad", "bad-page", GRAPHICS),
]


def luminance(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("foreground", "background", "minimum"), PAIRS)
def test_the_contrast_is_sufficient(scheme, foreground, background, minimum):
    assert contrast(scheme[foreground], scheme[background]) >= minimum


def test_both_schemes_define_the_same_colours():
    assert LIGHT.keys() == DARK.keys()


def test_the_style_sheet_loads_nothing():
    assert not re.search(r"url\(|@import", CSS)
