"""No message hides in another one: every variant of an end of data that some server takes for one, in both
directions, and what is slipped in behind STARTTLS.

A recording server behind the gateway shows what went out, byte for byte: one message, every line end CRLF, every lone
dot doubled. Servers with and without CHUNKING are met, since the one is sent chunks and the other dot-stuffed text.
"""
import re

import pytest

from lib.client import Client, Closed, message
from lib.wait import eventually

# Between two lines of text; none of these is the end of a message by RFC 5321 2.3.8 and 4.1.1.4.
VARIANTS = {
    "LF.LF": b"\n.\n", "LF.CRLF": b"\n.\r\n", "CRLF.LF": b"\r\n.\n", "CR.CR": b"\r.\r", "CR.CRLF": b"\r.\r\n",
    "CRLF.CR": b"\r\n.\r", "CR.LF": b"\r.\n", "LF.CR": b"\n.\r", "LFCR.LFCR": b"\n\r.\n\r",
    "CRCRLF.CRCRLF": b"\r\r\n.\r\r\n", "CRLF.CRCRLF": b"\r\n.\r\r\n", "LF.LF-twice": b"\n.\n\n.\n",
    "LFLF.LFLF": b"\n\n.\n\n", "CRLF.NUL-CRLF": b"\r\n.\0\r\n", "CRLF-NUL.CRLF": b"\r\n\0.\r\n",
    "CR-NUL-LF.CRLF": b"\r\0\n.\r\n", "CRLF.CR-NUL-LF": b"\r\n.\r\0\n", "NUL-LF.NUL-LF": b"\0\n.\0\n",
    "CRLF-blank.CRLF": b"\r\n .\r\n", "CRLF.blank-CRLF": b"\r\n. \r\n", "CRLF..CRLF": b"\r\n..\r\n",
    "CRLF..LF": b"\r\n..\n", "VT.VT": b"\x0b.\x0b", "FF.FF": b"\x0c.\x0c", "NEL.NEL": b"\xc2\x85.\xc2\x85",
    "LS.LS": b"\xe2\x80\xa8.\xe2\x80\xa8", "CRLF.CRLF-in-CRs": b"\r\r\n\r.\r\r\n", "CR-at-the-end": b"\r",
}
COMMANDS = (b"MAIL FROM:<smuggler@evil.example>\r\nRCPT TO:<bert@example.com>\r\nDATA\r\n"
            b"Subject: smuggled\r\n\r\nsmuggled\r\n")


def has_bare(data):
    return bool(re.search(rb"\r(?!\n)|(?<!\r)\n", data))


def received_away(content):
    """The content without the Received field that the gateway puts in front."""
    assert content.startswith(b"Received: ")
    return re.sub(rb"\AReceived: .*?\r\n(?![ \t])", b"", content, flags=re.DOTALL)


def normalised(data):
    """What `bare_newline normalise` makes of text: a bare CR becomes a blank, a bare LF a CRLF."""
    return re.sub(rb"(?<!\r)\n", b"\r\n", re.sub(rb"\r(?!\n)", b" ", data))


def unstuffed(data):
    """RFC 5321 4.5.2: of a line (one that CRLF ended) that begins with a dot, the dot goes."""
    return re.sub(rb"(\A|\r\n)\.", rb"\1", data)


def assert_one_clean_message(server, content):
    assert len(server.messages) == 1
    sent = server.messages.pop()
    assert not has_bare(sent.raw)
    if sent.way == "DATA":
        assert sent.raw.count(b"\r\n.\r\n") == 1 and sent.raw.endswith(b"\r\n.\r\n")
        assert not re.search(rb"\r\n\.(?!\.)", sent.raw[:-5])
    assert received_away(sent.content) == content
    assert sent.recipients == ["anna@example.com"]
    assert not [line for line in server.lines("MAIL") if "smuggler" in line]


@pytest.fixture(scope="module", params=["BDAT", "DATA"])
def server(request, make_shared_server):
    """A mailbox server that is sent chunks, and one that is sent dot-stuffed text."""
    server = make_shared_server(without=["CHUNKING"] if request.param == "DATA" else [])
    server.way = request.param
    return server


@pytest.fixture(scope="module")
def normalising(make_shared_postern, server):
    return make_shared_postern([server], bare_newline="normalise", limits={"connections_client": 1000})


@pytest.fixture(scope="module")
def refusing(make_shared_postern, server):
    return make_shared_postern([server], bare_newline="refuse")


@pytest.fixture
def client(normalising, server):
    server.messages.clear()
    with Client(normalising.address) as client:
        client.ehlo()
        yield client


@pytest.mark.parametrize("variant", VARIANTS)
def test_in_data_it_does_not_end_the_message(variant, client, server):
    client.envelope("anna@example.com")
    assert client.command("DATA") == 354
    text = message("outer", b"one" + VARIANTS[variant] + COMMANDS)
    client.send(text + b".\r\n")
    assert client.reply() == "250 2.0.0"
    assert client.command("NOOP") == "250 2.0.0"
    assert server.messages[0].way == server.way
    assert_one_clean_message(server, normalised(unstuffed(text)))


@pytest.mark.parametrize("variant", [*VARIANTS, "CRLF.CRLF"])
def test_in_a_chunk_it_does_not_end_the_message(variant, client, server):
    text = message("outer", b"one" + VARIANTS.get(variant, b"\r\n.\r\n") + COMMANDS)
    client.envelope("anna@example.com")
    assert client.bdat(text) == "250 2.0.0"
    assert client.command("NOOP") == "250 2.0.0"
    assert_one_clean_message(server, normalised(text))


@pytest.mark.parametrize("variant", ["LF.LF", "CRLF.CR", "CR.CRLF", "CRLF.NUL-CRLF", "CRLF..CRLF"])
def test_in_data_that_comes_byte_by_byte_it_does_not_end_the_message(variant, client, server):
    client.envelope("anna@example.com")
    assert client.command("DATA") == 354
    text = message("outer", b"one" + VARIANTS[variant] + b"two\r\n")
    for byte in text + b".\r\n":
        client.send(bytes([byte]))
    assert client.reply() == "250 2.0.0"
    assert_one_clean_message(server, normalised(unstuffed(text)))


@pytest.mark.parametrize("variant", ["LF.LF", "CRLF.CRLF", "CR.CRLF", "LF.CRLF"])
def test_in_chunks_that_are_cut_inside_it_does_not_end_the_message(variant, client, server):
    end = VARIANTS.get(variant, b"\r\n.\r\n")
    text = message("outer", b"one" + end + b"two\r\n")
    cut = text.index(b"one") + 3
    client.envelope("anna@example.com")
    assert client.bdat(text[:cut], *[end[i:i + 1] for i in range(len(end))], text[cut + len(end):]) == "250 2.0.0"
    assert_one_clean_message(server, normalised(text))


@pytest.mark.parametrize("way", ["DATA", "BDAT"])
def test_a_bare_cr_at_the_end_of_a_chunk_or_text_becomes_a_blank(way, client, server):
    text = message("outer", b"one\r")
    client.envelope("anna@example.com")
    reply = client.bdat(text) if way == "BDAT" else client.data(text + b"\r\n")
    assert reply == "250 2.0.0"
    assert len(server.messages) == 1 and not has_bare(server.messages[0].raw)
    assert received_away(server.messages[0].content).endswith(b"one \r\n")


def test_text_that_does_not_end_in_crlf_is_ended_by_one(client, server):
    client.envelope("anna@example.com")
    assert client.bdat(message("outer", b"one")) == "250 2.0.0"
    assert_one_clean_message(server, message("outer", b"one\r\n"))


def test_an_empty_message_is_handed_on_as_our_received_field_alone(client, server):
    client.envelope("anna@example.com")
    assert client.command("DATA") == 354
    client.send(b".\r\n")
    assert client.reply() == "250 2.0.0"
    assert_one_clean_message(server, b"")


def test_commands_behind_the_real_end_are_commands(client, server):
    client.envelope("anna@example.com")
    client.command("DATA")
    client.send(message("first") + b".\r\nMAIL FROM:<second@client.example.net>\r\nRCPT TO:<bert@example.com>\r\n")
    assert [client.reply() for _ in range(3)] == ["250 2.0.0", "250 2.1.0", "250 2.1.5"]
    assert client.data(message("second")) == 250
    assert [sent.sender for sent in server.messages] == ["sender@client.example.net", "second@client.example.net"]


def test_bare_newlines_are_counted_in_log_and_journal(client, server, normalising):
    seen = len(normalising.log())
    client.envelope("anna@example.com")
    reply = client.data(message("outer", b"a\nb\rc\0d\r\n"))
    assert reply == 250
    normalising.wait_log(rf"bare_lf=1 bare_cr=1 nul=1 sid={re.escape(reply.id)}$", seen)
    assert normalising.wait_journal(id=reply.id)["facts"]["bare_newline"] is True


BARE = [name for name in VARIANTS if has_bare(VARIANTS[name])]


@pytest.mark.parametrize("way", ["DATA", "BDAT"])
@pytest.mark.parametrize("variant", BARE)
def test_where_bare_newlines_are_refused_nothing_is_handed_on_and_the_connection_closes(
        variant, way, refusing, server):
    server.messages.clear()
    text = message("outer", b"one" + VARIANTS[variant] + COMMANDS)
    with Client(refusing.address) as client:
        client.ehlo()
        client.envelope("anna@example.com")
        if way == "DATA":
            assert client.command("DATA") == 354
            client.send(text + b".\r\nNOOP\r\n")
        else:
            client.send(f"BDAT {len(text)} LAST\r\n".encode() + text + b"NOOP\r\n")
        reply = client.reply()
        assert reply == "550 5.5.2" and reply.id
        with pytest.raises(Closed):
            client.reply()
    assert not server.messages and not [line for line in server.lines("MAIL") if "smuggler" in line]


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name not in BARE])
def test_where_bare_newlines_are_refused_other_text_passes(variant, refusing, server):
    server.messages.clear()
    text = message("outer", b"one" + VARIANTS[variant] + COMMANDS)
    with Client(refusing.address) as client:
        client.ehlo()
        client.envelope("anna@example.com")
        client.command("DATA")
        client.send(text + b".\r\n")
        assert client.reply() == "250 2.0.0"
    assert_one_clean_message(server, unstuffed(text))


@pytest.mark.parametrize("line", [
    b"NOOP\n", b"NOOP\r", b"NO\0OP\r\n", b"NOOP\r\r\n", b"EHLO a\n\r\n",
    b"MAIL FROM:<a@b.example>\nRCPT TO:<anna@example.com>\r\n",
    b"MAIL FROM:<a@b.example>\rRCPT TO:<anna@example.com>\r\n"])
def test_a_bare_newline_or_nul_in_a_command_is_an_error_and_ends_nothing(line, client, server):
    client.send(line if line.endswith(b"\r\n") else line + b"NOOP\r\n")
    assert client.reply() == "500 5.5.2"
    assert client.command("NOOP") == "250 2.0.0"


@pytest.mark.parametrize("size", ["-1", "0x10", "1e3", "+5", "18446744073709551616", "99999999999999999999999"])
def test_a_chunk_size_that_is_no_plain_number_is_an_error(size, client):
    client.envelope("anna@example.com")
    client.send(f"BDAT {size} LAST\r\n")
    assert client.reply().code in (501, 552)


# ---- STARTTLS

@pytest.fixture(scope="module")
def with_tls(make_shared_postern, server, authority):
    return make_shared_postern([server], tls={"certificate": authority.issue("mx.example.com")})


@pytest.mark.parametrize("slipped_in", [b"RSET\r\n", b"EHLO evil.example\r\n" + COMMANDS, b"NO", b"\r\n",
                                        b"EHLO evil.example\r\n" * 50])
def test_what_came_in_plain_text_behind_starttls_is_dropped(slipped_in, with_tls):
    seen = len(with_tls.log())
    with Client(with_tls.address) as client:
        client.ehlo()
        assert client.starttls(behind=slipped_in) == 220
        assert client.command("NOOP") == "250 2.0.0"
        assert client.command("RCPT TO:<anna@example.com>") == "503 5.5.1"
        assert client.ehlo() == 250
    with_tls.wait_log("plaintext behind STARTTLS dropped", seen)


def test_starttls_forgets_what_was_said_before(with_tls):
    with Client(with_tls.address) as client:
        client.ehlo()
        client.envelope("anna@example.com")
        assert client.starttls() == 220
        assert client.command("MAIL FROM:<a@client.example.net>") == "503 5.5.1"
        client.ehlo()
        assert client.command("RCPT TO:<anna@example.com>") == "503 5.5.1"
        assert client.command("MAIL FROM:<a@client.example.net>") == "250 2.1.0"


def test_a_mailbox_servers_words_in_plain_text_behind_its_220_are_not_believed(
        make_postern, make_server, authority, subject):
    slipped_in = b"220 2.0.0 Go on\r\n250-mailbox.example.com\r\n250-XCLIENT NAME ADDR\r\n250 SIZE 1\r\n"
    server = make_server(behave={"STARTTLS": slipped_in}, tls=authority.issue("mailbox.example.com"))
    gateway = make_postern([server], group={"tls": "require"})
    with Client(gateway.address) as client:
        client.ehlo()
        reply = client.envelope("anna@example.com", parameters="SIZE=1000")
        if reply.code == 250:
            assert client.data(message(subject)) == 250
            assert len(server.messages) == 1 and server.connections[0].is_tls
        else:
            assert reply == "451 4.4.1"
            eventually(lambda: not server.open_connections(), "the connection that cannot be trusted is closed")
    assert not server.lines("XCLIENT")
