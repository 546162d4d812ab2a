"""How we read requests, beside h11 and llhttp: nothing is accepted that one of them refuses or reads otherwise."""

import contextlib
import itertools
from functools import partial
from typing import NamedTuple

import h11
import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pixora.server.bodies import Refused
from pixora.server.connection import SIZE
from pixora.server.reading import Limits, Reader
from tests.interpreter import MOST_SECONDS, seconds_of_longest
from tests.server.corpus import BODY_LIMIT, CASES, FIELD_LIMIT, FIELDS_LIMIT, LINE_LIMIT

LIMITS = Limits(LINE_LIMIT, FIELD_LIMIT, FIELDS_LIMIT, BODY_LIMIT)


class Read(NamedTuple):
    """A request as somebody has read it."""

    method: str
    target: str
    body: bytes


def ours(data, step=0):
    """Read requests; return them, and whether something was refused."""
    reader = Reader({}, LIMITS)
    found = []
    pieces = [data[start : start + step] for start in range(0, len(data), step)] if step else [data]
    try:
        for piece in pieces:
            request = reader.read(piece)
            while request:
                environ = request.environ
                body = environ["wsgi.input"].read()
                found.append(Read(environ["REQUEST_METHOD"], environ["RAW_URI"], body))
                if not request.keep_alive:
                    return found, False
                request = reader.read(b"")
    except Refused:
        return found, True
    return found, False


def by_h11(data):
    """Read requests as h11 does, up to the first that it refuses or that is not complete."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=100_000)
    connection.receive_data(data.removeprefix(b"\r\n"))  # of which h11 ignores none
    found = []
    with contextlib.suppress(h11.RemoteProtocolError):
        while True:
            request = connection.next_event()
            if not isinstance(request, h11.Request):
                return found
            body = b""
            while isinstance(part := connection.next_event(), h11.Data):
                body += part.data
            if not isinstance(part, h11.EndOfMessage):
                return found
            found.append(Read(request.method.decode(), request.target.decode(), body))
            rest = connection.trailing_data[0].removeprefix(b"\r\n")
            connection = h11.Connection(h11.SERVER, max_incomplete_event_size=100_000)
            connection.receive_data(rest)
    return found


class ByLlhttp:
    """Reads requests as llhttp does, up to the first that it refuses or that is not complete."""

    def __init__(self, data):
        self.found = []
        self._target = self._body = b""
        self._parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._parser.feed_data(data)

    def on_message_begin(self):
        self._target = self._body = b""

    def on_url(self, url):
        self._target += url

    def on_body(self, body):
        self._body += body

    def on_message_complete(self):
        self.found.append(Read(self._parser.get_method().decode(), self._target.decode("latin-1"), self._body))


METHODS = {"GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE"}
"""Those of the generated ones that llhttp knows: of others it has a list."""


def compare(data):
    """Check that what we read others read, too, and in the same way."""
    found, _ = ours(data)
    assert found == by_h11(data)[: len(found)]
    known = found
    for number, request in enumerate(found):
        if request.method not in METHODS:
            known = found[:number]
            break
    assert known == ByLlhttp(data).found[: len(known)]
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_corpus_is_read_as_others_read_it(case):
    raw = case.raw
    if b"upgrade" in raw.lower():  # after which llhttp leaves off
        raw = raw.replace(b"pgrade", b"pward")
    found = compare(raw)
    assert bool(found) == (case.status == 200)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_pieces_of_any_size_are_read_as_the_whole(case):
    data = case.raw + b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
    whole = ours(data)
    for step in (1, 2, 3, 7, 100):
        assert ours(data, step) == whole


ODD = st.sampled_from(
    ["", " ", "  ", "\t", "\r", "\n", "\r\n", "\0", "\x0b", "\x7f", "\xa0", ":", ",", ";", '"', "_", "+", "-", "0x"]
)
NAMES = st.sampled_from(
    ["Host", "host", "Content-Length", "content-length", "Transfer-Encoding", "Connection", "A", "A_B", "Expect", ""]
)
VALUES = st.sampled_from(
    ["x", "0", "1", "5", "05", "chunked", "Chunked", "gzip", "identity", "gzip, chunked", "close", "keep-alive", "a b"]
)


@st.composite
def spoilt(draw, texts):
    """A text, mostly as it is, and sometimes with something odd in it."""
    text = draw(texts)
    if draw(st.integers(0, 11)):
        return text
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(ODD | st.text(st.characters(max_codepoint=255), max_size=3)) + text[at:]


@st.composite
def chunks(draw):
    parts = draw(st.lists(st.text(st.characters(max_codepoint=255), min_size=1, max_size=6), max_size=3))
    sizes = st.sampled_from(["{:x}", "{:X}", "0{:x}", "{:x};a", "{:x};a=b", '{:x};a="b c"', "{:x} "])
    lines = [f"{draw(sizes).format(len(part))}\r\n{part}\r\n" for part in parts]
    trailer = draw(st.sampled_from(["", "A: b\r\n", "Content-Length: 5\r\n", " a\r\n"]))
    return draw(spoilt(st.just("".join(lines) + f"0\r\n{trailer}\r\n")))


@st.composite
def requests(draw):
    method = draw(spoilt(st.sampled_from(sorted(METHODS))))
    target = draw(spoilt(st.sampled_from(["/", "/a?b", "*", "http://x/a", "/%41", "x:80", "/a#b", "//a"])))
    version = draw(spoilt(st.sampled_from(["HTTP/1.1"] * 6 + ["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "RTSP/1.0"])))
    fields = draw(st.lists(st.tuples(NAMES, VALUES), max_size=4))
    if draw(st.integers(0, 5)):
        fields.insert(0, ("Host", "x"))
    body = draw(spoilt(st.sampled_from(["", "", "a", "abcde"])) | chunks())
    if draw(st.booleans()):
        fields.append(draw(st.sampled_from([("Content-Length", str(len(body))), ("Transfer-Encoding", "chunked")])))
    lines = [f"{method} {target} {version}", *[f"{name}: {value}" for name, value in fields]]
    lines = [draw(spoilt(st.just(line))) for line in lines]
    ends = [draw(st.sampled_from(["\r\n"] * 30 + ["\n", "\r", "\r\r\n", "\r\n "])) for _ in lines]
    return ("".join(line + end for line, end in zip(lines, ends, strict=True)) + "\r\n" + body).encode("latin-1")


@settings(max_examples=500)
@given(st.lists(requests(), min_size=1, max_size=3).map(b"".join))
@example(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\naGET / HTTP/1.1\r\nHost: x\r\n\r\n")
def test_nothing_is_accepted_that_others_refuse_or_read_otherwise(data):
    compare(data)


@settings(max_examples=200)
@given(requests(), st.lists(st.integers(0, 300), max_size=5))
def test_where_bytes_are_cut_makes_no_difference(data, cuts):
    whole = ours(data)
    reader = Reader({}, LIMITS)
    found, was_refused = [], False
    edges = [0, *sorted({cut for cut in cuts if cut < len(data)}), len(data)]
    for begin, end in itertools.pairwise(edges):
        try:
            request = reader.read(data[begin:end])
            while request and request.keep_alive:
                found.append(request.environ["wsgi.input"].read())
                request = reader.read(b"")
        except Refused:
            was_refused = True
            break
        if request:
            found.append(request.environ["wsgi.input"].read())
            break
    assert ([read.body for read in whole[0]], whole[1]) == (found, was_refused)


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_bytes_at_random_are_refused_or_waited_for(data):
    compare(data)


@pytest.mark.parametrize("body", [b"1\r\na\r\n" * BODY_LIMIT, b"1;a=b\r\na\r\n" * BODY_LIMIT], ids=["bare", "extended"])
def test_a_body_in_chunks_of_one_byte_never_holds_the_interpreter_for_long(body):
    """At most 20 ms for each piece that one `recv` can bring."""

    def pieces():
        reader = Reader({}, LIMITS)
        reader.read(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        return [partial(reader.read, body[start : start + SIZE]) for start in range(0, len(body), SIZE)]

    assert seconds_of_longest(pieces) < MOST_SECONDS
