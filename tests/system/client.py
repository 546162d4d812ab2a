"""A client of a running server, called like Flask's test client: `sign_up` and `log_in` of factories take both."""

import contextlib
import http.client
import json as jsons
from urllib.parse import urlencode, urlsplit

from tests.timeouts import LONG


class Answer:
    """Status, headers and body of an answer, by the names that Flask's test client uses."""

    def __init__(self, response):
        self.status_code = response.status
        self.headers = response.headers
        self.data = response.read()

    @property
    def text(self):
        return self.data.decode()

    @property
    def json(self):
        """The decoded body, or None where it is not JSON."""
        return jsons.loads(self.data) if "json" in self.headers.get("Content-Type", "") and self.data else None


class Client:
    """Sends each request on a connection of its own, so that any worker may answer it; threads may share a client.

    `ip` is the address of the loopback interface to send from, for servers that tell clients apart.
    """

    def __init__(self, url, ip="127.0.0.1"):
        self.url = url
        self._ip = ip

    def open(self, path, *, method="GET", json=None, data=None, headers=None, content_type=None):
        """Send a request; a dictionary as `data` is sent as a form."""
        if json is not None:
            data, content_type = jsons.dumps(json).encode(), content_type or "application/json"
        elif isinstance(data, dict):
            data, content_type = urlencode(data).encode(), content_type or "application/x-www-form-urlencoded"
        sent = ({"Content-Type": content_type} if content_type else {}) | (headers or {})
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=LONG, source_address=(self._ip, 0))
        with contextlib.closing(connection):
            connection.request(method, path, data, sent)
            return Answer(connection.getresponse())

    def get(self, path, **options):
        return self.open(path, method="GET", **options)

    def post(self, path, **options):
        return self.open(path, method="POST", **options)

    def patch(self, path, **options):
        return self.open(path, method="PATCH", **options)

    def delete(self, path, **options):
        return self.open(path, method="DELETE", **options)
