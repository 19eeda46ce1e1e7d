"""Every message arrives byte for byte, by BDAT and by DATA, however its dots, lines and sizes fall."""
import re

import pytest

from lib.client import Client, message
from lib.deliver import RECIPIENT

CHUNK = 256 * 1024  # of the relay's BDAT
PIECE = 64 * 1024   # of what it writes at a time
LINE = b"0123456789abcdef" * 4 + b"\r\n"


def filled(size, end=b""):
    """Lines of 66 bytes and a last one, so that `end` begins at byte `size`."""
    rows, rest = divmod(size, len(LINE))
    if rest in (1,):
        rows, rest = rows - 1, rest + len(LINE)
    return LINE * rows + (b"y" * (rest - 2) + b"\r\n" if rest else b"") + end


BODIES = {
    "empty": b"",
    "a lone dot": b".\r\n",
    "dots alone": b".\r\n..\r\n...\r\n....\r\n",
    "an end of data in disguise": b"text\r\n.\r\nMAIL FROM:<evil@example.net>\r\n.\r\nQUIT\r\n",
    "dots at the start of lines": b".a\r\n..b\r\n. c\r\n.\x00\r\nd.\r\n",
    "blank lines at the end": b"x\r\n\r\n\r\n\r\n",
    "leading blank lines": b"\r\n\r\nx\r\n",
    "eight bits": bytes(range(128, 256)) + b"\r\n",
    "control bytes": bytes(b for b in range(1, 32) if b not in (10, 13)) + b"\r\n",
    "NUL": b"a\x00b\r\n\x00\r\n",
    "a long line": b"x" * 200000 + b"\r\n",
    "a long line of dots": b"." * 100000 + b"\r\n",
    "thousands of lone dots": b".\r\n" * 30000,
    "only line ends": b"\r\n" * 50000,
    "a megabyte and a half": filled(1500000),
    "commands of our own": b"BDAT 10 LAST\r\nRSET\r\nDATA\r\nRCPT TO:<anna@example.com>\r\n",
    **{f"a dot at piece {at:+d}": filled(PIECE + at, b".\r\n..\r\nz\r\n") for at in range(-420, -380, 3)},
    **{f"a dot at chunk {at:+d}": filled(CHUNK + at, b".\r\n.\r\n" * 100) for at in range(-700, 100, 160)},
    **{f"the end at {size}": filled(size) for size in (PIECE, CHUNK, CHUNK + 2, 2 * CHUNK)},
}


@pytest.fixture(scope="module")
def ways(make_shared_server, make_shared_postern):
    """A gateway in front of a server that offers CHUNKING, and one in front of a server that does not."""
    def behind(**options):
        server = make_shared_server(**options)
        return make_shared_postern([server], workers=1), server
    return {"bdat": behind(), "data": behind(without=("CHUNKING",)),
            "lockstep": behind(without=("CHUNKING", "PIPELINING"))}


def transfer(gateway, server, text, as_chunks):
    """Sends text, and returns the message as it arrived."""
    before = len(server.messages)
    with Client(gateway.address) as client:
        client.ehlo()
        assert client.envelope(RECIPIENT) == 250
        chunks = [text[at:at + 100001] for at in range(0, len(text), 100001)]
        reply = client.bdat(*chunks) if as_chunks else client.data(text)
    assert reply == 250 and len(server.messages) == before + 1
    return server.messages[-1]


def without_our_field(content):
    """The message behind the Received field that Postern put in front."""
    ours = re.match(rb"Received: .*\r\n([ \t].*\r\n)*", content)
    assert ours, content[:200]
    return content[ours.end():]


@pytest.mark.parametrize("name", BODIES)
def test_an_awkward_body_arrives_byte_for_byte_by_every_way(ways, name):
    text = message("awkward", BODIES[name])
    arrived = {}
    for way, (gateway, server) in ways.items():
        for as_chunks in (False, True):
            got = transfer(gateway, server, text, as_chunks)
            assert got.way == ("BDAT" if way == "bdat" else "DATA")
            assert_same(without_our_field(got.content), text)
            arrived[way, as_chunks] = got
            if got.way == "DATA":
                assert got.raw.endswith(b"\r\n.\r\n") and not re.search(rb"(?m)^\.(?!\.|\r\n\Z)", got.raw)


def assert_same(got, sent):
    """As ==, without printing megabytes."""
    if got != sent:
        at = next((i for i, (a, b) in enumerate(zip(got, sent)) if a != b), min(len(got), len(sent)))
        around = slice(max(at - 20, 0), at + 20)
        raise AssertionError(f"{len(got)} bytes for {len(sent)}, at {at}: {got[around]!r} for {sent[around]!r}")


BARE = {
    b"a\nb\r\n": b"a\r\nb\r\n",
    b"a\rb\r\n": b"a b\r\n",
    b"a\r\r\nb\r\n": b"a \r\nb\r\n",
    b"a\n.\nb\r\n": b"a\r\n.\r\nb\r\n",
    b"a\r\n.\nb\r\n": b"a\r\n.\r\nb\r\n",
    b"a\n.\r\nb\r\n": b"a\r\n.\r\nb\r\n",
    b"a\r.\rb\r\n": b"a . b\r\n",
    b"a\r\n.\rb\r\n": b"a\r\n. b\r\n",
}


@pytest.mark.parametrize("body", BARE, ids=repr)
def test_bare_line_ends_leave_as_crlf_and_end_nothing(ways, body):
    """By BDAT, where no dot is stuffed, so what arrives is what the table says."""
    for gateway, server in ways.values():
        got = transfer(gateway, server, message("bare", body), True)
        assert without_our_field(got.content) == message("bare", BARE[body])
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)", got.raw)


def test_a_chunked_message_without_a_last_line_end_gets_one(ways):
    for gateway, server in ways.values():
        got = transfer(gateway, server, message("torn", b"no end"), True)
        assert without_our_field(got.content) == message("torn", b"no end\r\n")
