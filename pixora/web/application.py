"""The application class: Flask, without what this service never uses and every request would pay for."""

from collections.abc import Callable
from typing import Any

import flask
from werkzeug.routing import MapAdapter


class Application(flask.Flask):
    """Flask without coroutines, subdomains and websockets."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function. Flask inspects each view and hook at each call, in case it is a coroutine."""
        return func

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """Return the URL map for a request. Flask looks twice at its Host, of which the routes do not depend."""
        if request is None:
            return super().create_url_adapter(None)
        environment = request.environ
        return self.url_map.bind(
            "localhost",  # redirects name no host, see `middleware.make_redirect_relative`
            script_name=environment.get("SCRIPT_NAME"),
            url_scheme=request.scheme,
            default_method=request.method,
            path_info=_decoded(environment, "PATH_INFO"),
            query_args=_decoded(environment, "QUERY_STRING"),
        )


def _decoded(environment: dict[str, Any], name: str) -> str:
    """Return a value of the WSGI environment, which holds UTF-8 as Latin-1 (PEP 3333)."""
    value: str = environment.get(name, "")
    return value if value.isascii() else value.encode("latin-1").decode(errors="replace")
