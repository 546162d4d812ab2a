"""Raw requests, good and bad, and the exact answer to each."""

from typing import NamedTuple

LINE_LIMIT, FIELD_LIMIT, FIELDS_LIMIT, BODY_LIMIT = 4094, 8190, 50, 16_384


class Case(NamedTuple):
    """A request, the status of its answer, whether the connection stays open, and what the application got of it."""

    name: str
    raw: bytes
    status: int = 200
    stays: bool = True
    got: dict[str, str] | None = None


WEBSOCKET = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "Origin: http://x"


def request(*fields: str, line: str = "GET / HTTP/1.1", host: str | None = "Host: x", body: str = "") -> bytes:
    lines = [line, *([host] if host is not None else []), *fields]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")


def post(*fields: str, body: str = "", line: str = "POST / HTTP/1.1") -> bytes:
    return request(*fields, line=line, body=body)


def chunked(body: str, *fields: str) -> bytes:
    return post("Transfer-Encoding: chunked", *fields, body=body)


def good(name: str, raw: bytes, *, stays: bool = True, **got: str) -> Case:
    return Case(name, raw, 200, stays, got)


def bad(name: str, raw: bytes, status: int = 400) -> Case:
    return Case(name, raw, status, stays=False)


TARGETS = (
    good("get", request(), REQUEST_METHOD="GET", PATH_INFO="/", QUERY_STRING="", HTTP_HOST="x", body=""),
    good("query", request(line="GET /a?b=c&d HTTP/1.1"), PATH_INFO="/a", QUERY_STRING="b=c&d", RAW_URI="/a?b=c&d"),
    good("two question marks", request(line="GET /a?b?c HTTP/1.1"), PATH_INFO="/a", QUERY_STRING="b?c"),
    good("percent encoding", request(line="GET /%C3%A9%20 HTTP/1.1"), PATH_INFO="/\xc3\xa9 "),
    good("encoded slash and question mark", request(line="GET /a%2Fb%3Fc HTTP/1.1"), PATH_INFO="/a/b?c"),
    good("percent signs without digits", request(line="GET /%zz% HTTP/1.1"), PATH_INFO="/%zz%"),
    good("query stays encoded", request(line="GET /?a=%20 HTTP/1.1"), QUERY_STRING="a=%20"),
    good("two slashes", request(line="GET //evil.example/a HTTP/1.1"), PATH_INFO="//evil.example/a", HTTP_HOST="x"),
    good("dots are the application's business", request(line="GET /../a HTTP/1.1"), PATH_INFO="/../a"),
    good("absolute target", request(line="GET http://y:8/a?b HTTP/1.1"), PATH_INFO="/a", HTTP_HOST="y:8"),
    good("absolute target, capitals", request(line="GET HTTPS://y HTTP/1.1"), PATH_INFO="/", HTTP_HOST="y"),
    good("absolute target, query only", request(line="GET http://y?b HTTP/1.1"), PATH_INFO="/", QUERY_STRING="b"),
    good("asterisk", request(line="OPTIONS * HTTP/1.1"), PATH_INFO="*", REQUEST_METHOD="OPTIONS"),
    good("longest line", request(line=f"GET /{'a' * (LINE_LIMIT - 14)} HTTP/1.1")),
    bad("longer line", request(line=f"GET /{'a' * (LINE_LIMIT - 13)} HTTP/1.1"), 414),
    bad("line of 70,000 bytes", request(line=f"GET /{'a' * 70_000} HTTP/1.1"), 414),
    bad("asterisk for another method", request(line="GET * HTTP/1.1")),
    bad("authority", request(line="CONNECT x:443 HTTP/1.1")),
    bad("absolute target with a user", request(line="GET http://a@y/ HTTP/1.1")),
    bad("absolute target without a host", request(line="GET http:///a HTTP/1.1")),
    bad("absolute target of another scheme", request(line="GET ftp://y/ HTTP/1.1")),
    bad("target without a slash", request(line="GET a HTTP/1.1")),
    bad("fragment", request(line="GET /#a HTTP/1.1")),
    bad("space in the target", request(line="GET /a b HTTP/1.1")),
    bad("tab in the target", request(line="GET /a\tb HTTP/1.1")),
    bad("bytes over 127 in the target", request(line="GET /\xe9 HTTP/1.1")),
    bad("NUL in the target", request(line="GET /\0 HTTP/1.1")),
    bad("DEL in the target", request(line="GET /\x7f HTTP/1.1")),
)

LINES = (
    good("unknown method", request(line="BREW / HTTP/1.1"), REQUEST_METHOD="BREW"),
    good("method in small letters", request(line="get / HTTP/1.1"), REQUEST_METHOD="get"),
    good("method of 32 characters", request(line=f"{'A' * 32} / HTTP/1.1")),
    good("empty line before", b"\r\n" + request()),
    bad("method of 33 characters", request(line=f"{'A' * 33} / HTTP/1.1"), 501),
    bad("two empty lines before", b"\r\n\r\n" + request()),
    bad("lone LF before", b"\n" + request()),
    bad("space before", b" " + request()),
    bad("no method", request(line="/ HTTP/1.1")),
    bad("method with a colon", request(line="GE:T / HTTP/1.1")),
    bad("method with a parenthesis", request(line="GE(T / HTTP/1.1")),
    bad("two spaces", request(line="GET  / HTTP/1.1")),
    bad("two spaces before the version", request(line="GET /  HTTP/1.1")),
    bad("tab for a space", request(line="GET\t/ HTTP/1.1")),
    bad("space after the version", request(line="GET / HTTP/1.1 ")),
    bad("no version", request(line="GET /")),
    bad("version in small letters", request(line="GET / http/1.1")),
    bad("version without a dot", request(line="GET / HTTP/11")),
    bad("version of three parts", request(line="GET / HTTP/1.1.1")),
    bad("version of two digits", request(line="GET / HTTP/1.10")),
    bad("version with a plus", request(line="GET / HTTP/+1.1")),
    bad("another protocol", request(line="OPTIONS * RTSP/1.0")),
    bad("ICE", request(line="SOURCE / ICE/1.0")),
    bad("version 0.9", request(line="GET / HTTP/0.9"), 505),
    bad("version 1.2", request(line="GET / HTTP/1.2"), 505),
    bad("version 2.0", request(line="GET / HTTP/2.0"), 505),
    bad("preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    bad("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)) * 8),
    bad("SSH", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    bad("SMTP", b"EHLO x\r\n"),
    bad("binary", bytes(range(256)) * 4),
    bad("zeros", b"\0" * 1000),
    bad("lone LF after the line", b"GET / HTTP/1.1\nHost: x\r\n\r\n"),
    bad("lone LF everywhere", b"GET / HTTP/1.1\nHost: x\n\n"),
    bad("lone CR after the line", b"GET / HTTP/1.1\rHost: x\r\n\r\n"),
    bad("two CR after the line", b"GET / HTTP/1.1\r\r\nHost: x\r\n\r\n"),
    bad("HTTP/0.9", b"GET /\r\n"),
)

FIELDS = (
    good("white space around a value", request("A: \t b c \t "), HTTP_A="b c"),
    good("no white space", request("A:b"), HTTP_A="b"),
    good("empty value", request("A:"), HTTP_A=""),
    good("value with colons", request("A: b:c"), HTTP_A="b:c"),
    good("value of latin-1", request("A: \xe9"), HTTP_A="\xe9"),
    good("tab in a value", request("A: b\tc"), HTTP_A="b\tc"),
    good("all characters of a name", request("!#$%&'*+.^`|~09aZ: b")),
    good("name twice", request("A: b", "a: c"), HTTP_A="b,c"),
    good("type twice", post("Content-Type: a/b", "Content-Type: c/d"), CONTENT_TYPE="a/b,c/d"),
    good("names with an underscore are dropped", request("A-B: c", "A_B: d", "Content_Length: 5"), HTTP_A_B="c"),
    good("SCRIPT_NAME", request("SCRIPT_NAME: /a", "Script-Name: /b"), SCRIPT_NAME="", HTTP_SCRIPT_NAME="/b"),
    good("REMOTE_ADDR", request("REMOTE_ADDR: 6.6.6.6", "Remote-Addr: 6.6.6.6"), REMOTE_ADDR="127.0.0.1"),
    good("path in a field", request("PATH_INFO: /b", "Path-Info: /b"), PATH_INFO="/"),
    good("fields, as many as there may be", request(*["A: b"] * (FIELDS_LIMIT - 1))),
    good("fields of one name, together of the longest", request(*["A: " + "b" * (FIELD_LIMIT // 2 - 1)] * 2)),
    good("field of the longest", request("A: " + "b" * (FIELD_LIMIT - 3))),
    good(
        "WebSocket is not spoken: no 101, the answer of the resource",  # RFC 6455, 4.2.2: anything but 101 declines
        request("Connection: Upgrade", "Upgrade: websocket", *WEBSOCKET, line="GET /chat HTTP/1.1"),
        PATH_INFO="/chat",
        HTTP_UPGRADE="websocket",
    ),
    good(
        "WebSocket in one field with keep-alive",
        request("Connection: keep-alive, Upgrade", "Upgrade: websocket", *WEBSOCKET),
    ),
    good(
        "WebSocket of a client that closes",
        request("Connection: Upgrade, close", "Upgrade: websocket", *WEBSOCKET),
        stays=False,
    ),
    good("upgrade without its name", request("Connection: Upgrade", *WEBSOCKET)),
    bad("frames of WebSocket that nobody has agreed to", b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
    good(
        "upgrade to h2c is ignored", request("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings:")
    ),
    good("close", request("Connection: close"), stays=False),
    good("close among others", request("Connection: a, Close"), stays=False),
    good("close in a field of its own", request("Connection: keep-alive", "Connection: close"), stays=False),
    good("proxy-connection is nobody's business", request("Proxy-Connection: close")),
    bad("fields, one too many", request(*["A: b"] * FIELDS_LIMIT), 431),
    bad("200 fields", request(*["A: b"] * 200), 431),
    bad("field too long", request("A: " + "b" * (FIELD_LIMIT - 2)), 431),
    bad("fields of one name too long together", request(*["A: " + "b" * (FIELD_LIMIT // 2)] * 2), 431),
    bad("fields of 70,000 bytes", request("A: " + "b" * 70_000), 431),
    bad("fields of 70,000 bytes together", request(*["A: " + "b" * 8_000] * 9), 431),
    bad("space before the colon", request("A : b")),
    bad("tab before the colon", request("A\t: b")),
    bad("space before the name", request(" A: b")),
    bad("folded value", request("A: b", " c")),
    bad("folded by a tab", request("A: b", "\tc")),
    bad("folded before the first field", b"GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
    bad("no colon", request("A")),
    bad("no name", request(": b")),
    bad("name with a space", request("A b: c")),
    bad("name with a slash", request("A/b: c")),
    bad("name with NUL", request("A\0b: c")),
    bad("name over 127", request("\xe9: b")),
    bad("value with NUL", request("A: b\0c")),
    bad("value with ESC", request("A: b\x1bc")),
    bad("value with DEL", request("A: b\x7fc")),
    bad("value with a lone CR", request("A: b\rc")),
    bad("value with a lone LF", request("A: b\nc: d")),
    bad("value that ends with CR", request("A: b\r")),
    bad("value with a form feed", request("A: b\x0cc")),
    bad("lone LF at the end of the head", b"GET / HTTP/1.1\r\nHost: x\r\n\n"),
    bad("other expectation", post("Content-Length: 1", "Expect: 200-ok", body="a"), 417),
)

HOSTS = (
    good("host with a port", request(host="Host: x:80"), HTTP_HOST="x:80"),
    good("host of IPv6", request(host="Host: [::1]:80"), HTTP_HOST="[::1]:80"),
    good("empty host", request(host="Host:"), HTTP_HOST=""),
    bad("no host", request(host=None)),
    bad("two hosts", request("Host: y")),
    bad("the same host twice", request("Host: x")),
    bad("two hosts in one", request(host="Host: x, y")),
    bad("host with a path", request(host="Host: x/y")),
    bad("host with a user", request(host="Host: a@x")),
    bad("host with a space", request(host="Host: x y")),
    bad("host with a port of letters", request(host="Host: x:a")),
    bad("host over 127", request(host="Host: \xe9")),
    bad("host with an underscore in its name only", request(host="Host_: x")),
    bad("two hosts, absolute target", request("Host: y", line="GET http://x/ HTTP/1.1")),
    bad("no host, absolute target", request(line="GET http://x/ HTTP/1.1", host=None)),
)

OLD = (
    good("1.0", request(line="GET / HTTP/1.0"), stays=False, SERVER_PROTOCOL="HTTP/1.0"),
    good("1.0 without a host", request(line="GET / HTTP/1.0", host=None), stays=False),
    good("1.0 that stays", request("Connection: keep-alive", line="GET / HTTP/1.0")),
    good("1.0 that stays, in capitals", request("Connection: Keep-Alive", line="GET / HTTP/1.0")),
    good("1.0 that says both", request("Connection: keep-alive, close", line="GET / HTTP/1.0"), stays=False),
    good("1.0 with a body", post("Content-Length: 1", line="POST / HTTP/1.0", body="a"), stays=False, body="a"),
    good("1.0 that expects", post("Content-Length: 1", "Expect: a", line="POST / HTTP/1.0", body="a"), stays=False),
    bad("1.0 in chunks", post("Transfer-Encoding: chunked", line="POST / HTTP/1.0", body="0\r\n\r\n")),
    bad("1.0 with two hosts", request("Host: y", line="GET / HTTP/1.0")),
)

LENGTHS = (
    good("body", post("Content-Length: 5", body="a\r\nb\0"), body="a\r\nb\0", CONTENT_LENGTH="5"),
    good("body of a GET", request("Content-Length: 1", body="a"), body="a"),
    good("body like a request", post("Content-Length: 27", body="GET / HTTP/1.1\r\nHost: x\r\n\r\n"[:27])),
    good("no body", post("Content-Length: 0"), body=""),
    good("no length", post(), body=""),
    good("zeros before the length", post("Content-Length: 0001", body="a"), body="a"),
    good("white space around the length", post("Content-Length: \t1 ", body="a"), body="a"),
    good("largest body", post(f"Content-Length: {BODY_LIMIT}", body="a" * BODY_LIMIT), body="a" * BODY_LIMIT),
    good("expected", post("Content-Length: 1", "Expect: 100-Continue", body="a"), body="a"),
    bad("larger body", post(f"Content-Length: {BODY_LIMIT + 1}", body="a" * (BODY_LIMIT + 1)), 413),
    bad("length beyond all numbers", post(f"Content-Length: {'9' * 1000}"), 413),
    bad("empty length", post("Content-Length:", body="a")),
    bad("negative length", post("Content-Length: -1", body="a")),
    bad("length with a plus", post("Content-Length: +1", body="a")),
    bad("length with a dot", post("Content-Length: 1.0", body="a")),
    bad("length in hexadecimal", post("Content-Length: 0x1", body="a")),
    bad("length with an underscore", post("Content-Length: 1_0", body="a")),
    bad("length with a space", post("Content-Length: 1 1", body="a")),
    bad("length of digits that are none", post("Content-Length: \xb2", body="a")),
    bad("length twice", post("Content-Length: 1", "Content-Length: 1", body="a")),
    bad("two lengths", post("Content-Length: 1", "Content-Length: 2", body="a")),
    bad("two lengths in one", post("Content-Length: 1, 1", body="a")),
    bad("length and chunks", post("Content-Length: 5", "Transfer-Encoding: chunked", body="0\r\n\r\n")),
    bad("chunks and length", post("Transfer-Encoding: chunked", "Content-Length: 5", body="0\r\n\r\n")),
)

CHUNKS = (
    good("chunks", chunked("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), body="abc", CONTENT_LENGTH="3"),
    good("no chunk", chunked("0\r\n\r\n"), body=""),
    good("chunk of line ends", chunked("4\r\n\r\n\r\n\r\n0\r\n\r\n"), body="\r\n\r\n"),
    good("zeros before the size", chunked("0001\r\na\r\n000\r\n\r\n"), body="a"),
    good("size in capitals", chunked(f"A\r\n{'a' * 10}\r\n0\r\n\r\n"), body="a" * 10),
    good("size in small letters", chunked(f"a\r\n{'a' * 10}\r\n0\r\n\r\n"), body="a" * 10),
    good("extension", chunked('1;b;c=d;e="f;g"\r\na\r\n0;h\r\n\r\n'), body="a"),
    good("trailer", chunked("1\r\na\r\n0\r\nB: c\r\nHost: y\r\n\r\n"), body="a", HTTP_HOST="x"),
    good("coding in capitals", post("Transfer-Encoding: CHUNKED", body="0\r\n\r\n"), body=""),
    good("largest in chunks", chunked(f"4000\r\n{'a' * BODY_LIMIT}\r\n0\r\n\r\n"), body="a" * BODY_LIMIT),
    good("a thousand chunks", chunked("1\r\na\r\n" * 1000 + "0\r\n\r\n"), body="a" * 1000),
    bad("larger in chunks", chunked(f"4001\r\n{'a' * (BODY_LIMIT + 1)}\r\n0\r\n\r\n"), 413),
    bad("bomb of chunks", chunked(f"1000\r\n{'a' * 4096}\r\n" * 8), 413),
    bad("chunk of gigabytes", chunked("FFFFFFFF\r\na"), 413),
    bad("size beyond all numbers", chunked("FFFFFFFFFFFFFFFFF\r\na\r\n0\r\n\r\n")),
    bad("no size", chunked("\r\na\r\n0\r\n\r\n")),
    bad("size that is none", chunked("g\r\na\r\n0\r\n\r\n")),
    bad("negative size", chunked("-1\r\na\r\n0\r\n\r\n")),
    bad("size with a plus", chunked("+1\r\na\r\n0\r\n\r\n")),
    bad("size with 0x", chunked("0x1\r\na\r\n0\r\n\r\n")),
    bad("size with an underscore", chunked("1_0\r\na\r\n0\r\n\r\n")),
    bad("space before the size", chunked(" 1\r\na\r\n0\r\n\r\n")),
    bad("space after the size", chunked("1 \r\na\r\n0\r\n\r\n")),
    bad("size and a lone LF", chunked("1\na\r\n0\r\n\r\n")),
    bad("size and a lone CR", chunked("1\ra\r\n0\r\n\r\n\r\n")),
    bad("chunk longer than its size", chunked("1\r\nab\r\n0\r\n\r\n")),
    bad("chunk shorter than its size", chunked("3\r\na\r\n0\r\n\r\n")),
    bad("chunk and a lone LF", chunked("1\r\na\n0\r\n\r\n")),
    bad("extension without a name", chunked("1;\r\na\r\n0\r\n\r\n")),
    bad("extension with a lone LF", chunked("1;b\nc\r\na\r\n0\r\n\r\n")),
    bad("extension with a quote that does not end", chunked('1;b="c\r\na\r\n0\r\n\r\n')),
    bad("extension of 300 bytes", chunked(f"1;{'b' * 300}\r\na\r\n0\r\n\r\n")),
    bad("size of 300 bytes without an end", chunked("1" * 300)),
    bad("trailer without a colon", chunked("0\r\nB\r\n\r\n")),
    bad("length in the trailer", chunked("0\r\nContent-Length: 5\r\n\r\n")),
    bad("coding in the trailer", chunked("0\r\ntransfer-encoding: chunked\r\n\r\n")),
    bad("trailer folded", chunked("0\r\nB: c\r\n d\r\n\r\n")),
    bad("trailer with a lone LF", chunked("0\r\nB: c\n\r\n")),
    bad("trailers of 70,000 bytes", chunked(f"0\r\nB: {'c' * 70_000}\r\n\r\n")),
    bad("unknown coding", post("Transfer-Encoding: gzip", body="a"), 501),
    bad("identity", post("Transfer-Encoding: identity", body="a"), 501),
    bad("coding before chunks", post("Transfer-Encoding: gzip, chunked", body="0\r\n\r\n"), 501),
    bad("coding like chunked", post("Transfer-Encoding: xchunked", body="0\r\n\r\n"), 501),
    bad("coding after chunks", post("Transfer-Encoding: chunked, gzip", body="0\r\n\r\n")),
    bad("chunked twice", post("Transfer-Encoding: chunked, chunked", body="0\r\n\r\n")),
    bad("chunked in two fields", post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body="0\r\n\r\n")),
    bad("chunked in quotes", post('Transfer-Encoding: "chunked"', body="0\r\n\r\n")),
    bad("chunked with a parameter", post("Transfer-Encoding: chunked;a=b", body="0\r\n\r\n")),
    bad("chunked with a control character", post("Transfer-Encoding: \x0bchunked", body="0\r\n\r\n")),
    bad("chunked and a comma", post("Transfer-Encoding: chunked,", body="0\r\n\r\n")),
    bad("empty coding", post("Transfer-Encoding:", body="0\r\n\r\n")),
)

CASES = TARGETS + LINES + FIELDS + HOSTS + OLD + LENGTHS + CHUNKS
