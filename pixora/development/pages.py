"""`/` for browsers, and `/outbox`. Registered in development only.

The outbox has links that let anybody into an account. So these pages answer only requests from this machine or a
private network, and only to a host that is an address, `localhost` or a configured one: a page of another site that
resolves its own name to 127.0.0.1 (DNS rebinding) must not read them.
"""

import ipaddress
from urllib.parse import urlsplit

from flask import Blueprint, Response, current_app, make_response, render_template, request

from pixora import clock
from pixora.errors import NotFound
from pixora.mail import listing
from pixora.mail.identity import public_url, service_name
from pixora.services import services

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' https: data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""E-mails have their style inline. They are in frames that run no script."""

NEW_TAB = '<head><base target="_blank">'
"""Makes the links of an e-mail leave its frame."""

blueprint = Blueprint("development", __name__)


@blueprint.before_app_request
def landing_page() -> Response | None:
    """Answer browsers at `/`; every other client gets the JSON of all environments."""
    if request.path != "/" or request.method not in ("GET", "HEAD") or not _is_local():
        return None
    # The first is for clients that accept anything.
    if request.accept_mimetypes.best_match(["application/json", "text/html"]) != "text/html":
        return None
    return _page("development/landing.html", version=current_app.config["API_VERSION"])


@blueprint.get("/outbox")
def show_outbox() -> Response:
    """Show the e-mails in the outbox, the newest first."""
    if not _is_local():
        raise NotFound
    now = clock.utcnow()
    described = [email for claimed in services.outbox.list_emails() if (email := listing.describe(claimed, now))]
    emails = [
        email | {"state": listing.state(email), "frame": email["html"].replace("<head>", NEW_TAB, 1)}
        for email in reversed(described)
    ]
    return _page("development/outbox.html", emails=emails)


def _page(template: str, **values: object) -> Response:
    page = make_response(render_template(template, service=service_name(), **values))
    page.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    page.headers["Cache-Control"] = "no-store"
    page.headers["Vary"] = "Accept"
    return page


def _is_local() -> bool:
    """Return whether the request comes from this machine or its private networks, by an own name of the service."""
    host = (urlsplit(f"//{request.host}").hostname or "").lower()
    own = ("localhost", urlsplit(public_url()).hostname, *(services.settings.trusted_hosts or ()))
    return (host in own or _is_private(host)) and _is_private(request.remote_addr or "")


def _is_private(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_private
    except ValueError:
        return False
