"""The application class: Flask, without what this service never uses and every request would pay for."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import urlsplit, urlunsplit

import flask
from flask.signals import appcontext_tearing_down, request_tearing_down
from flask.typing import ResponseReturnValue
from werkzeug.routing import MapAdapter, RequestRedirect

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


Object = TypeVar("Object")


def current(proxy: Object) -> Object:
    """Return the object of a proxy such as `flask.request`.

    An attribute of the proxy takes as long as several function calls, one of the object nearly nothing.
    """
    found: Object = proxy._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # documented by Werkzeug
    return found


class Response(flask.Response):
    """Flask's response, without the preparation that most answers do not need."""

    def get_wsgi_response(self, environ: "WSGIEnvironment") -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        """Return body, status and headers.

        Werkzeug copies the headers, looks for relative URLs in them, and wraps the body. A whole body that is already
        encoded needs none of this, which took 4 % of a `GET /me`.
        """
        if self.status_code == 200 and environ["REQUEST_METHOD"] == "GET" and not self._on_close:
            headers = self.headers.to_wsgi_list()
            names = {name.lower() for name, _ in headers}
            if isinstance(self.response, list) and "content-length" in names and "location" not in names:
                return self.response, self.status, headers
        return super().get_wsgi_response(environ)


class Application(flask.Flask):
    """Flask without coroutines, subdomains, websockets, and `after_this_request`."""

    response_class = Response

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.url_map.redirect_defaults = False  # no route has defaults

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function. Flask inspects each view and hook at each call, in case it is a coroutine."""
        return func

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """Return the URL map for a request. Flask looks twice at its Host, on which the routes do not depend."""
        if request is None:
            return None  # there is no SERVER_NAME
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

    def preprocess_request(self) -> ResponseReturnValue | None:
        """Call the hooks before a request. Flask looks for those of blueprints even if there are none."""
        hooks = self.before_request_funcs
        if len(hooks) != 1 or None not in hooks or self.url_value_preprocessors:
            return super().preprocess_request()
        for hook in hooks[None]:
            answer = hook()
            if answer is not None:
                return answer  # type: ignore[return-value]
        return None

    def dispatch_request(self) -> ResponseReturnValue:
        """Call the view of the request."""
        request = current(flask.request)
        if request.routing_exception is not None or request.method == "OPTIONS":
            return super().dispatch_request()
        view: Callable[..., Any] = self.view_functions[request.endpoint or ""]
        answer: ResponseReturnValue = view(**request.view_args or {})
        return answer

    def process_response(self, response: flask.Response) -> flask.Response:
        """Call the hooks after a request, if there are any for it."""
        hooks = self.after_request_funcs
        if None in hooks or current(flask.request).blueprint in hooks:
            return super().process_response(response)
        return response

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """Call the hooks at the end of a request, if there are any."""
        if self.teardown_request_funcs or request_tearing_down.receivers:
            super().do_teardown_request(exc)

    def do_teardown_appcontext(self, exc: BaseException | None = None) -> None:
        """Call the hooks at the end of a context, if there are any."""
        if self.teardown_appcontext_funcs or appcontext_tearing_down.receivers:
            super().do_teardown_appcontext(exc)

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
