"""QR codes, by which authenticator apps read a new secret."""

import io

import segno

MASK = 3
"""The mask pattern of the QR code. To compare all eight, as the standard has it, takes 20 ms; scanners read each."""


def svg(uri: str) -> str:
    """Return a URI as a QR code: an SVG document without script or style, which can also be an element of a page."""
    code = segno.make(uri, micro=False, error="l", boost_error=False, mask=MASK)
    drawn = io.BytesIO()
    code.save(drawn, kind="svg", scale=4, border=4, omitsize=True, xmldecl=False, nl=False)
    return drawn.getvalue().decode()
