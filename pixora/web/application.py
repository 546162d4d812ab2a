"""The application class: Flask, without what this service never uses and every request would pay for."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

import flask
from werkzeug.routing import MapAdapter, RequestRedirect

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Response(flask.Response):
    """Flask's response, without the preparation that most answers do not need."""

    def get_wsgi_response(self, environ: "WSGIEnvironment") -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        """Return body, status and headers.

        Werkzeug copies the headers, looks for relative URLs in them, and wraps the body. A whole body that is already
        encoded needs none of this, which took 4 % of a `GET /me`.
        """
        is_whole = self.status_code == 200 and isinstance(self.response, list) and "Content-Length" in self.headers
        if is_whole and environ["REQUEST_METHOD"] == "GET" and not self._on_close and "Location" not in self.headers:
            return self.response, self.status, self.headers.to_wsgi_list()  # type: ignore[return-value]
        return super().get_wsgi_response(environ)


class Application(flask.Flask):
    """Flask without coroutines, subdomains and websockets."""

    response_class = Response

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function. Flask inspects each view and hook at each call, in case it is a coroutine."""
        return func

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """Return the URL map for a request. Flask looks twice at its Host, on which the routes do not depend."""
        if request is None:
            return super().create_url_adapter(None)
        environment = request.environ
        return MapAdapter(
            self.url_map,
            server_name="localhost",  # redirects name no host, see `raise_routing_exception`
            subdomain="",
            script_name=environment.get("SCRIPT_NAME", ""),
            url_scheme=request.scheme,
            default_method=request.method,
            path_info=_decoded(environment, "PATH_INFO"),
            query_args=_decoded(environment, "QUERY_STRING"),
        )

    def raise_routing_exception(self, request: flask.Request) -> NoReturn:
        """Redirect to a path only, for example for two slashes in a row; raise other errors unchanged.

        Werkzeug repeats the Host header, which any client can forge, without the port of a proxy.
        """
        redirect = request.routing_exception
        if isinstance(redirect, RequestRedirect):
            redirect.new_url = urlunsplit(("", "", *urlsplit(redirect.new_url)[2:]))
        super().raise_routing_exception(request)


def _decoded(environment: dict[str, Any], name: str) -> str:
    """Return a value of the WSGI environment, which holds UTF-8 as Latin-1 (PEP 3333)."""
    value: str = environment.get(name, "")
    return value if value.isascii() else value.encode("latin-1").decode(errors="replace")
