"""Configure Sphinx, which builds the site from the Markdown here, the OpenAPI document and the measurements.

Why Sphinx, as of November 2026: MkDocs had its last release in 2024, Material for MkDocs is in maintenance mode while
its authors move to Zensical, which is at 0.1. Sphinx has been maintained since 2008 and checks links and anchors
strictly. Furo loads nothing from other servers and needs JavaScript only for the search.
"""

import base64
import os
import secrets
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import api_page  # noqa: E402  # needs the path above
import figures  # noqa: E402

project = "Pixora"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "Pixora"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_favicon = str(ROOT / "pixora/static/icon.svg")
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

# The lexer of console blocks does not understand quoted text of several lines, and there is none for Mermaid.
suppress_warnings = ["misc.highlighting_failure"]

myst_enable_extensions = ["deflist", "substitution"]
myst_heading_anchors = 4
myst_substitutions = figures.read(ROOT / "benchmarks/results.json")


def setup(app: Sphinx) -> None:
    """Generate the API page when Sphinx reads its source."""
    app.connect("source-read", _write_api_page)


def _write_api_page(app: Sphinx, page: str, source: list[str]) -> None:
    if page == "api":
        source[0] += "\n" + api_page.render(_document())


def _document() -> dict[str, object]:
    """Return the application's OpenAPI document, which needs no database."""
    os.environ |= {
        "PIXORA_ENV": "testing",
        "MONGO_URI": "mongodb://127.0.0.1:1/pixora",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "JWT_SECRET_KEY": secrets.token_urlsafe(48),
        "WEBAUTHN_RP_ID": "example.com",
        "WEBAUTHN_ORIGINS": "https://example.com",  # for the routes of passkeys to be there
        "SERVICE_KEYS": f"orders:{'0' * 64}",  # for the introspection endpoint to be there
        "DATA_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),  # for the routes of second factors
    }
    import config  # noqa: PLC0415  # only for this page
    from pixora import create_app  # noqa: PLC0415

    # Without a request, which would be logged to the output of script/docs.
    document: dict[str, object] = create_app(config.load()).extensions["openapi"].document()
    return document
