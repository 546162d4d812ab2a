"""How the doctor asks the running service, as any client does: by HTTP, through the proxies."""

import http.client
import ssl
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

SECONDS = 5
MOST_BYTES = 65536


class Unreachable(Exception):
    """There is no answer; the message is the reason in a few words."""


class Answer(NamedTuple):
    """Status, headers and body, and the IP of the server."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    server: str


def fetch(url: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return the answer to a GET; raise `Unreachable`. Follows no redirects, which would leak the doctor's pass."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=SECONDS)
    try:
        connection.connect()
        server = str(connection.sock.getpeername()[0])
        connection.request("GET", path, headers=dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read(MOST_BYTES), server)
    except ssl.SSLError as error:
        raise Unreachable("its certificate is not trusted") from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(type(error).__name__) from error
    finally:
        connection.close()
