"""The client echo, `/health/client`: shows the operator's `doctor` how its request arrived.

Proxies and inner addresses are confidential, so the doctor authenticates with a pass made from the SECRET_KEY, and
every other request gets 404.
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
from pixora.web.blueprint import OPERATORS, Blueprint, fails
from pixora.web.forwarding import peer

SCHEME = "Pixora-Doctor"
PASS_LASTS = timedelta(minutes=2)
"""Short, because the pass travels through proxies. It gives access to nothing else."""

blueprint = Blueprint("client_echo", __name__, url_prefix="/health", tag=OPERATORS)


class ClientEchoSchema(Schema):
    """How a request arrived."""

    client = fields.String(required=True, metadata={"description": "The client's address, by `PROXY_COUNT`."})
    peer = fields.String(required=True, metadata={"description": "The address of the connection."})
    forwarded = fields.List(fields.String(), required=True, metadata={"description": "The values of X-Forwarded-For."})
    proxy_count = fields.Integer(required=True)


EXAMPLE = {"client": "203.0.113.7", "peer": "127.0.0.1", "forwarded": ["203.0.113.7"], "proxy_count": 1}


@blueprint.route("/client", "getClientEcho")
@blueprint.response(200, ClientEchoSchema, example=EXAMPLE)
@fails(NotFound)
@public
def client() -> dict[str, Any]:
    """Show how a request arrived.

    For the operator's `doctor`. All others get 404.
    """
    if not _is_valid(request.headers.get("Authorization", "")):
        raise NotFound
    forwarded = request.headers.get("X-Forwarded-For", "")
    return {
        "client": request.remote_addr or "",
        "peer": peer(),
        "forwarded": [value.strip() for value in forwarded.split(",")] if forwarded.strip() else [],
        "proxy_count": services.settings.proxy_count,
    }


def make_pass(secret_key: str) -> str:
    """Return the value of an Authorization header that is valid for `PASS_LASTS`."""
    expires = str(int((clock.utcnow() + PASS_LASTS).timestamp()))
    return f"{SCHEME} {expires}.{_mac(secret_key, expires)}"


def _is_valid(credentials: str) -> bool:
    scheme, _, given = credentials.partition(" ")
    expires, _, mac = given.partition(".")
    if scheme != SCHEME or not expires.isdecimal() or not given.isascii() or len(expires) > 12:
        return False
    if not hmac.compare_digest(mac, _mac(services.settings.secret_key, expires)):
        return False
    now = clock.utcnow().timestamp()
    # Twice as long, because the clock of the doctor's machine may be ahead.
    return now < int(expires) < now + 2 * PASS_LASTS.total_seconds()


def _mac(secret_key: str, expires: str) -> str:
    return hmac.digest(derived_key(secret_key, "pixora doctor 1"), expires.encode(), "sha256").hex()
