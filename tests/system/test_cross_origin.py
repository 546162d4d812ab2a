"""What pages of other origins can read of nginx's own answers, and of ours through it."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mongod import free_port

from tests.system.conftest import running_nginx

ORIGIN = "https://app.example.com"
ENTRY = '# "https://app.example.com" $http_origin;'
SUBDOMAINS = '# "~^https://'


def allow_all_examples(text, address):
    assert ENTRY in text
    assert SUBDOMAINS in text
    return text.replace(ENTRY, ENTRY[2:]).replace(SUBDOMAINS, SUBDOMAINS[2:])


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """The port of nginx whose list has the example of an origin and that of its subdomains; what it asks is away."""
    with running_nginx(tmp_path_factory.mktemp("listed"), free_port(), change=allow_all_examples) as port:
        yield port


def ask(port, method="GET", path="/", body=None, origin=ORIGIN):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, {"Origin": origin} if origin else {})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def too_often(port):
    for _ in range(500):
        response = ask(port, "POST", "/api/auth/login")
        if response.status != 502:
            return response
    raise AssertionError("nothing is refused")


REFUSALS = {
    404: lambda port: ask(port, path="/metrics"),
    413: lambda port: ask(port, "POST", "/api/auth/signup", b"x" * 20_000),
    414: lambda port: ask(port, path="/" + "x" * 5000),
    429: too_often,
    502: ask,
}


@pytest.mark.parametrize("status", REFUSALS)
def test_a_listed_page_can_read_what_nginx_itself_refuses(listed, status):
    response = REFUSALS[status](listed)
    assert response.status == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert response.headers["Access-Control-Expose-Headers"] == "Retry-After, X-Request-ID"
    assert response.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        ("https://app.example.com", True),
        ("https://a.b.example.com", True),
        ("https://example.com", False),
        ("https://xexample.com.evil.net", False),
        ("https://app.example.com.evil.net", False),
        ("http://app.example.com", False),
        ("null", False),
        (None, False),
    ],
)
def test_nginx_compares_the_whole_origin(listed, origin, may):
    response = ask(listed, origin=origin)
    assert response.headers["Access-Control-Allow-Origin"] == (origin if may else None)
    assert (response.headers["Access-Control-Expose-Headers"] is not None) is may
    assert response.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    ("origin", "asks_for", "status"),
    [(ORIGIN, "PATCH", 204), ("https://evil.example", "PATCH", 502), (ORIGIN, None, 502), (None, "PATCH", 502)],
)
def test_while_the_application_is_away_the_preflights_of_listed_pages_pass(listed, origin, asks_for, status):
    headers = {"Origin": origin, "Access-Control-Request-Method": asks_for}
    headers["Access-Control-Request-Headers"] = "authorization,traceparent"
    connection = http.client.HTTPConnection("127.0.0.1", listed, timeout=60)
    connection.request("OPTIONS", "/api/users/me", headers={name: value for name, value in headers.items() if value})
    response = connection.getresponse()
    connection.close()
    assert response.status == status
    if status == 204:
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert response.headers["Access-Control-Allow-Methods"] == "PATCH"
        assert response.headers["Access-Control-Allow-Headers"] == "authorization,traceparent"
        assert response.headers["Access-Control-Max-Age"] == "0"
    else:
        assert response.headers["Access-Control-Allow-Methods"] is None


def test_as_shipped_nginx_lists_nobody(tmp_path):
    with running_nginx(tmp_path, free_port()) as port:
        assert ask(port).headers["Access-Control-Allow-Origin"] is None


class Page(BaseHTTPRequestHandler):
    def do_GET(self):  # as http.server calls it
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>A product</title>")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def product():
    """The origin of a page that is not ours."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


FETCH = """async ([url, size]) => {
    const headers = {"Content-Type": "application/json"};
    const response = await fetch(url, {method: "POST", headers, body: "x".repeat(size)});
    return [response.status, (await response.json()).code, response.headers.get("X-Request-ID").length];
}"""


def test_a_browser_lets_the_page_read_refusals_of_nginx_and_of_ours(gunicorn, browser, product, tmp_path):
    def allow(text, address):
        return text.replace(ENTRY, f'"{product}" $http_origin;')

    with (
        gunicorn(PROXY_COUNT="1", CORS_ORIGINS=product) as url,
        running_nginx(tmp_path, int(url.rsplit(":", 1)[1]), change=allow) as port,
        browser.new_context() as context,
    ):
        page = context.new_page()
        page.goto(product)
        signup = f"http://127.0.0.1:{port}/api/auth/signup"
        assert page.evaluate(FETCH, [signup, 20_000]) == [413, "payload_too_large", 32]
        assert page.evaluate(FETCH, [signup, 10]) == [400, "malformed_body", 32]


CALL = """async ([method, url]) => {
    const response = await fetch(url, {method, headers: {Authorization: "Bearer x"}});
    return [response.status, (await response.json()).code];
}"""


def test_a_browser_lets_the_page_read_that_a_route_or_a_method_does_not_exist(gunicorn, browser, product):
    with gunicorn(CORS_ORIGINS=product) as url, browser.new_context() as context:
        page = context.new_page()
        page.goto(product)
        assert page.evaluate(CALL, ["GET", f"{url}/api/nowhere"]) == [404, "not_found"]
        assert page.evaluate(CALL, ["PUT", f"{url}/api/auth/login"]) == [405, "method_not_allowed"]


def test_a_browser_lets_the_page_read_that_the_application_is_away(browser, product, tmp_path):
    def allow(text, address):
        return text.replace(ENTRY, f'"{product}" $http_origin;')

    with running_nginx(tmp_path, free_port(), change=allow) as port, browser.new_context() as context:
        page = context.new_page()
        page.goto(product)
        assert page.evaluate(FETCH, [f"http://127.0.0.1:{port}/api/auth/signup", 10]) == [502, "bad_gateway", 32]
