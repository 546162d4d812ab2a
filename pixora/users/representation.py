"""The representation of one's own profile, which clients read more often than all else together.

`ProfileSchema` describes it, and serializes profiles elsewhere. Here it is written out, which takes a fifth of the CPU;
`tests/users/test_profile.py` compares the two.
"""

import json
from collections.abc import Mapping
from typing import Any

from flask.json.provider import DefaultJSONProvider
from werkzeug.datastructures import Headers

from pixora.accounts.documents import User
from pixora.accounts.users import has_password
from pixora.web import etags, metadata
from pixora.web.application import Response
from pixora.web.fields import timestamp

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=DefaultJSONProvider.default).encode
"""As `JSONProvider` of the application, without a new encoder for each profile."""


def respond(user: User) -> Response:
    """Return a profile with its ETag, or 304 if `If-None-Match` has that."""
    tag = etags.etag(user)
    headers = Headers()  # as arguments, Werkzeug would look for each of them first
    headers.add("ETag", f'"{tag}"')
    if etags.is_known(tag):
        return Response(status=304, headers=headers)
    body = f"{_encode(document(user))}\n".encode()
    headers.add("Content-Type", "application/json")
    headers.add("Content-Length", str(len(body)))
    return Response([body], headers=headers)


def document(user: Mapping[str, Any]) -> dict[str, Any]:
    """Return a profile as `ProfileSchema` serializes it."""
    return {
        "id": user["_id"],
        "first_name": user.get("first_name"),
        "last_name": user.get("last_name"),
        "email": user["email"],
        "contact": user.get("contact"),
        "birthday": user.get("birthday"),
        "created_at": timestamp(user["created_at"]),
        "updated_at": timestamp(user["updated_at"]),
        "email_verified": user.get("email_verified", False),
        "roles": user.get("roles", ["user"]),
        **({} if has_password(user) else {"has_password": False}),
        **{name: user[name] for name in ("locale", *metadata.NAMES) if name in user},
    }
