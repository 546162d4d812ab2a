import io
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from pixora.importing.lines import LONGEST, Line, read


def lines(data, **where):
    return list(read(io.BytesIO(data), **where))


def test_each_line_has_its_number_and_where_it_ends():
    assert lines(b"a\nb\r\n\nc") == [
        Line(1, b"a\n", 2, is_cut_off=False),
        Line(2, b"b\r\n", 5, is_cut_off=False),
        Line(3, b"\n", 6, is_cut_off=False),
        Line(4, b"c", 7, is_cut_off=True),
    ]


def test_an_empty_file_has_none():
    assert lines(b"") == []


def test_a_byte_order_mark_is_left_out_of_the_first_line_only():
    bom = b"\xef\xbb\xbf"
    assert [line.data for line in lines(bom + b"a\n" + bom + b"b\n")] == [b"a\n", bom + b"b\n"]


def test_a_line_that_is_too_long_is_left_out_and_the_next_one_is_not():
    longest = b"x" * (LONGEST - 1) + b"\n"
    found = lines(longest + b"x" + longest + b"x" * 200_000 + b"\nb\n" + b"x" * 20_000)
    assert [line.data and len(line.data) for line in found] == [LONGEST, None, None, 2, None]
    assert found[-1] == Line(5, None, 2 * LONGEST + 1 + 200_001 + 2 + 20_000, is_cut_off=True)


def test_a_line_of_any_length_takes_no_memory():
    class Endless(io.RawIOBase):
        left = 50_000_000

        def readable(self):
            return True

        def readinto(self, buffer):
            size = min(len(buffer), self.left)
            buffer[:size] = b"x" * size
            self.left -= size
            return size

    tracemalloc.start()
    assert [line.data for line in read(io.BufferedReader(Endless()))] == [None]
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@given(st.lists(st.binary(max_size=30).map(lambda data: data.replace(b"\xef\xbb\xbf", b"")), max_size=20), st.data())
def test_a_file_can_be_gone_on_with_after_any_line(parts, data):
    whole = b"\n".join(parts)
    found = lines(whole)
    assert b"".join(line.data for line in found) == whole
    for line in found:
        assert lines(whole[line.end :], number=line.number, offset=line.end) == found[line.number :]
