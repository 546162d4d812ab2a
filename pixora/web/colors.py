"""Colours of the operator: readable text on them."""

WHITE, BLACK = "#ffffff", "#000000"


def text_color(background: str) -> str:
    """Return white or black, whichever has the higher contrast to a colour `#rrggbb` (WCAG 2.2, "contrast ratio")."""
    luminance = _luminance(background)
    return WHITE if 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 else BLACK


def _luminance(color: str) -> float:
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
