"""STARTTLS towards a mailbox server that refuses it, fails in it, or is not the one it should be."""
import pytest

from lib.certificates import Authority
from lib.deliver import send, send_until_taken, subjects
from lib.server import DROP, HANG

NAME = "mailbox.example.com"
MODES = ("may", "require", "verify")
FAST = {"server_greeting": "400ms", "server_command": "400ms", "tls_handshake": "1s"}


def behind(make_postern, server, mode, authority=None, **options):
    """A gateway in front of that server, which has a name."""
    group = {"tls": mode, **({"ca_file": authority.certificate} if authority else {})}
    return make_postern([f"{server} name {NAME}"], group=group, timeouts=FAST, workers=1, **options)


def went_by_tls(server):
    """Of the connections that a message came by."""
    def has_mail(connection):
        return any(line.startswith("MAIL") for line in connection.lines)
    return [connection.is_tls for connection in server.connections if has_mail(connection)]


@pytest.mark.parametrize("mode", MODES)
def test_starttls_is_used_with_the_right_certificate(make_server, make_postern, authority, mode):
    server = make_server(tls=authority.issue(NAME))
    gateway = behind(make_postern, server, mode, authority)
    assert send(gateway) == 250
    assert went_by_tls(server) == [True]
    assert server.connections[0].server_name == NAME
    assert [line.split(" ")[0] for line in server.connections[0].lines[:3]] == ["EHLO", "STARTTLS", "EHLO"]


def test_a_server_without_starttls_gets_mail_only_if_tls_need_not_be(make_server, make_postern, authority):
    for mode in MODES:
        server = make_server()
        assert send(behind(make_postern, server, mode, authority)) == (250 if mode == "may" else "451 4.4.1")
        assert len(server.messages) == (mode == "may")


REFUSALS = {"454": "454 4.7.0 Not now", "502": "502 5.5.1 No", "drop": DROP, "hang": HANG, "421": "421 4.3.2 No"}


@pytest.mark.parametrize("how", REFUSALS)
@pytest.mark.parametrize("mode", MODES)
def test_a_server_that_refuses_starttls_gets_mail_in_the_clear_only_if_it_may(make_server, make_postern, authority,
                                                                              mode, how):
    server = make_server({"STARTTLS": REFUSALS[how]}, tls=authority.issue(NAME))
    gateway = behind(make_postern, server, mode, authority)
    is_taken = mode == "may" and how in ("454", "502")
    assert send(gateway) == (250 if is_taken else "451 4.4.1")
    assert len(server.messages) == is_taken and True not in went_by_tls(server)


@pytest.mark.parametrize("how", ["garbage", "closes", "hangs"])
@pytest.mark.parametrize("mode", MODES)
def test_a_failed_handshake_is_followed_by_mail_in_the_clear_only_if_it_may(make_server, make_postern, authority,
                                                                            mode, how):
    server = make_server(tls=authority.issue(NAME))
    server.behave["STARTTLS"] = {"garbage": lambda moment: talk_no_tls(server), "closes": [b"220 Go on\r\n", DROP],
                                 "hangs": [b"220 Go on\r\n", HANG]}[how]
    gateway = behind(make_postern, server, mode, authority)
    if mode == "may":
        reply = send_until_taken(gateway)
        assert reply == 250 and went_by_tls(server) == [False]
        assert gateway.find_log(r"mailbox server .*: goes on without TLS: ")
    else:
        assert send(gateway) == "451 4.4.1"
        assert not server.messages


def talk_no_tls(server):
    """What comes behind our ClientHello is no TLS."""
    connection = server.connections[-1]
    connection.write(b"220 Go on\r\n")
    connection.unread = b""
    connection.read()
    return [b"\x16\x03\x03\x00\x04junk" * 20, HANG]


WRONG = {
    "another name": lambda authority, folder: authority.issue("other.example.com"),
    "an unknown authority": lambda authority, folder: Authority(folder).issue(NAME),
    "an expired certificate": lambda authority, folder: authority.issue(NAME, days=-1),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("mode", MODES)
def test_a_wrong_certificate_matters_where_it_is_verified(make_server, make_postern, authority, folder, mode, wrong):
    server = make_server(tls=WRONG[wrong](authority, folder))
    gateway = behind(make_postern, server, mode, authority)
    reply = send(gateway)
    if mode == "verify":
        assert reply == "451 4.4.1" and not server.messages
        assert gateway.find_log(r"mailbox server .*: down: TLS handshake: .*certificate")
    else:
        assert reply == 250 and went_by_tls(server) == [True]


@pytest.mark.parametrize("mode", MODES)
def test_plaintext_injected_behind_the_answer_to_starttls_is_refused(make_server, make_postern, authority, mode):
    """CVE-2011-0411 from the other side: it would be taken for the first answer under TLS."""
    injected = b"220 Go on\r\n250-mailbox\r\n250 XCLIENT NAME ADDR\r\n"
    server = make_server({"STARTTLS": injected}, tls=authority.issue(NAME))
    gateway = behind(make_postern, server, mode, authority)
    assert send(gateway) == "451 4.4.1"
    assert gateway.find_log(r"plaintext behind the answer to STARTTLS")
    assert not server.messages and not server.lines("MAIL")


def test_a_second_server_takes_what_the_first_cannot_take_by_tls(make_server, make_postern, authority, subject):
    first, second = make_server(tls=authority.issue("other.example.com")), make_server(tls=authority.issue(NAME))
    servers = [f"{first} name {NAME}", f"{second} name {NAME}"]
    gateway = make_postern(servers, group={"tls": "verify", "ca_file": authority.certificate})
    assert send(gateway, subject) == 250
    assert subjects(second) == [subject] and not first.lines("MAIL")


@pytest.mark.parametrize("how", ["END", "MAIL"])
def test_a_connection_cut_under_tls_has_the_same_answers(make_server, make_postern, authority, how):
    server = make_server({how: DROP}, tls=authority.issue(NAME))
    gateway = behind(make_postern, server, "require")
    assert send(gateway) == ("451 4.4.2" if how == "END" else "451 4.3.0")
    assert len(server.messages) == (how == "END")
