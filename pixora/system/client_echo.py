"""`/health/client`: what this service sees of a client, told to nobody but the operator's `doctor`.

How a service is reached, through how many proxies and from what inner addresses, is nobody else's business. The doctor
proves itself with a pass: it has the same SECRET_KEY. For all others there is nothing here.
"""

import hmac
from datetime import timedelta
from typing import Any

from flask import request
from marshmallow import Schema, fields

from pixora import clock
from pixora.auth.guards import public
from pixora.errors import NotFound
from pixora.services import services
from pixora.tokens.crypto import derived_key
from pixora.web.blueprint import Blueprint, fails
from pixora.web.forwarding import peer

SCHEME = "Pixora-Doctor"
PASS_LASTS = timedelta(minutes=2)
"""From when it is made. It goes through the operator's own proxies, and opens nothing else."""

blueprint = Blueprint("inspection", __name__, url_prefix="/health", description="Is it up, is it ready")


class ClientSchema(Schema):
    """What is seen of the client."""

    client = fields.String(required=True, metadata={"description": "Its address, by `PROXY_COUNT`."})
    peer = fields.String(required=True, metadata={"description": "The address that the connection comes from."})
    forwarded = fields.List(fields.String(), required=True, metadata={"description": "X-Forwarded-For, as it came."})
    proxy_count = fields.Integer(required=True)


EXAMPLE = {"client": "203.0.113.7", "peer": "127.0.0.1", "forwarded": ["203.0.113.7"], "proxy_count": 1}


@blueprint.route("/client")
@blueprint.response(200, ClientSchema, example=EXAMPLE)
@fails(NotFound)
@public
def client() -> dict[str, Any]:
    """Tell the operator's `doctor` what is seen of it; for all others there is nothing here."""
    if not _is_good(request.headers.get("Authorization", "")):
        raise NotFound
    forwarded = request.headers.get("X-Forwarded-For", "")
    return {
        "client": request.remote_addr or "",
        "peer": peer(),
        "forwarded": [value.strip() for value in forwarded.split(",")] if forwarded.strip() else [],
        "proxy_count": services.settings.proxy_count,
    }


def make_pass(secret_key: str) -> str:
    """Return what an Authorization header must hold, for the next two minutes."""
    expires = str(int((clock.utcnow() + PASS_LASTS).timestamp()))
    return f"{SCHEME} {expires}.{_mac(secret_key, expires)}"


def _is_good(credentials: str) -> bool:
    scheme, _, given = credentials.partition(" ")
    expires, _, mac = given.partition(".")
    if scheme != SCHEME or not expires.isdecimal() or not given.isascii() or len(expires) > 12:
        return False
    if not hmac.compare_digest(mac, _mac(services.settings.secret_key, expires)):
        return False
    now = clock.utcnow().timestamp()
    # Twice as long: the clock of the doctor's machine may be ahead.
    return now < int(expires) < now + 2 * PASS_LASTS.total_seconds()


def _mac(secret_key: str, expires: str) -> str:
    return hmac.digest(derived_key(secret_key, "pixora doctor 1"), expires.encode(), "sha256").hex()
