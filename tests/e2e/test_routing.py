"""Where mail goes: groups of servers and their fail-over, several domains, our own clients and the smart host."""
import pytest

from lib.client import Client, message
from lib.postern import DOMAIN
from lib.server import DROP
from lib.wait import eventually

OURS = "127.0.0.9"


def group(*servers, **options):
    return {"server": [str(server) for server in servers], "tls": "none", **options}


def deliver(gateway, recipient, subject, source=None):
    """Returns the first reply that is no success, or the last."""
    with Client(gateway.address, source=source) as client:
        client.ehlo()
        reply = client.envelope(recipient)
        return client.data(message(subject)) if reply.code == 250 else reply


@pytest.fixture
def with_smart_host(make_postern, make_server):
    """A gateway, its mailbox server and its smart host."""
    mailbox, smart = make_server(), make_server()
    gateway = make_postern([], servers=[("mailbox", group(mailbox)), ("out", group(smart))],
                           domain_defaults={"servers": "mailbox"}, relay_clients=OURS, smart_host="out")
    return gateway, mailbox, smart


def test_our_own_clients_reach_other_domains_through_the_smart_host(with_smart_host, subject):
    gateway, mailbox, smart = with_smart_host
    assert deliver(gateway, "someone@elsewhere.example", subject, OURS) == 250
    assert smart.messages[0].recipients == ["someone@elsewhere.example"] and not mailbox.messages


def test_our_own_clients_reach_our_domains_through_their_mailbox_server_and_recipients_are_checked(
        with_smart_host, subject):
    gateway, mailbox, smart = with_smart_host
    assert deliver(gateway, f"anna@{DOMAIN}", subject, OURS) == 250
    assert deliver(gateway, f"zoe@{DOMAIN}", subject, OURS) == "550 5.1.1"
    assert len(mailbox.messages) == 1 and not smart.messages


def test_strangers_are_denied_relaying_with_an_id(with_smart_host, subject):
    gateway, mailbox, smart = with_smart_host
    reply = deliver(gateway, "someone@elsewhere.example", subject, "127.0.0.8")
    assert reply == "554 5.7.1" and reply.id
    gateway.wait_log(rf'rule="RELAY DENIED" sid={reply.id}')
    assert not smart.lines("RCPT") and not mailbox.lines("RCPT")
    assert gateway.total("relay_denied") == 1


def test_a_forged_sender_of_ours_does_not_open_the_relay(with_smart_host):
    gateway, _, smart = with_smart_host
    with Client(gateway.address) as client:
        client.ehlo("mx.example.com")
        assert client.envelope("someone@elsewhere.example", sender=f"anna@{DOMAIN}") == "554 5.7.1"
        client.command("RSET")
        assert client.envelope("someone@elsewhere.example", sender="") == "554 5.7.1"
    assert not smart.lines("RCPT")


def test_without_a_smart_host_our_own_clients_are_denied_too(make_postern, make_server, subject):
    gateway = make_postern([make_server()], relay_clients=OURS)
    assert deliver(gateway, "someone@elsewhere.example", subject, OURS) == "554 5.7.1"


def test_recipients_on_another_server_are_put_off_until_a_transaction_of_their_own(make_postern, make_server, subject):
    first, second = make_server(), make_server()
    gateway = make_postern([], servers=[("first", group(first)), ("second", group(second))],
                           recipients={"example.com": ["anna"], "example.org": ["olga"]},
                           domain=[("example.com", {"servers": "first"}), ("example.org", {"servers": "second"})])
    with Client(gateway.address) as client:
        client.ehlo()
        assert client.envelope("anna@example.com") == "250 2.1.5"
        put_off = client.command("RCPT TO:<olga@example.org>")
        assert put_off == "452 4.5.3" and put_off.id
        assert client.data(message(subject)) == 250
        assert client.envelope("olga@example.org") == "250 2.1.5"
        assert client.data(message(subject)) == 250
    assert [sent.recipients for sent in first.messages] == [["anna@example.com"]]
    assert [sent.recipients for sent in second.messages] == [["olga@example.org"]]


def test_our_own_client_that_mixes_our_domain_and_others_is_put_off_for_one_of_them(with_smart_host, subject):
    gateway, mailbox, smart = with_smart_host
    with Client(gateway.address, source=OURS) as client:
        client.ehlo()
        assert client.envelope("someone@elsewhere.example") == "250 2.1.5"
        assert client.command(f"RCPT TO:<anna@{DOMAIN}>") == "452 4.5.3"
        assert client.command(f"RCPT TO:<zoe@{DOMAIN}>") == "550 5.1.1"
        assert client.data(message(subject)) == 250
    assert len(smart.messages) == 1 and not mailbox.messages


@pytest.mark.parametrize("fault", ["refused", "421 at connect", "drop at connect", "5xx at connect", "4xx at EHLO"])
def test_the_second_server_of_a_group_takes_over_when_the_first_cannot_be_used(
        fault, make_postern, make_server, subject):
    behave = {"421 at connect": {"CONNECT": "421 4.3.2 Busy"}, "drop at connect": {"CONNECT": DROP},
              "5xx at connect": {"CONNECT": "554 5.3.2 No"},
              "4xx at EHLO": {"EHLO": "451 4.3.0 No", "HELO": "451 4.3.0 No"}}.get(fault)
    first, second = make_server(behave), make_server()
    if fault == "refused":
        first.refuse()
    gateway = make_postern([first, second])
    assert deliver(gateway, f"anna@{DOMAIN}", subject) == 250
    assert len(second.messages) == 1 and not first.messages


def test_mail_goes_to_the_first_server_while_it_can_be_used(make_postern, make_server, subject):
    first, second = make_server(), make_server()
    gateway = make_postern([first, second])
    for _ in range(5):
        assert deliver(gateway, f"anna@{DOMAIN}", subject) == 250
    assert len(first.messages) == 5 and not second.messages


def test_a_group_that_is_away_as_a_whole_defers_and_status_says_so_until_it_is_back(make_postern, make_server, subject):
    servers = [make_server(), make_server()]
    for server in servers:
        server.refuse()
    gateway = make_postern(servers)
    reply = deliver(gateway, f"anna@{DOMAIN}", subject)
    assert reply == "451 4.4.1" and reply.id
    eventually(lambda: gateway.command("status", "--check").returncode == 2, "status is critical")
    servers[1].listen()
    eventually(lambda: deliver(gateway, f"anna@{DOMAIN}", subject) == 250, "delivered")
    assert len(servers[1].messages) == 1


@pytest.mark.parametrize("name, expected", [("mailbox.example.com", 250), ("elsewhere.example.com", "451 4.4.1")])
def test_a_server_that_must_be_verified_gets_mail_only_under_its_own_name(
        name, expected, make_postern, make_server, authority, subject):
    server = make_server(tls=authority.issue("mailbox.example.com"))
    gateway = make_postern([f"{server} name {name}"], group={"tls": "verify", "ca_file": authority.certificate})
    assert deliver(gateway, f"anna@{DOMAIN}", subject) == expected
    assert len(server.messages) == (1 if expected == 250 else 0)


def test_a_server_that_must_be_verified_gets_no_mail_with_a_certificate_of_a_stranger(
        make_postern, make_server, authority, folder, subject):
    stranger = type(authority)(folder)
    server = make_server(tls=stranger.issue("mailbox.example.com"))
    gateway = make_postern([f"{server} name mailbox.example.com"],
                           group={"tls": "verify", "ca_file": authority.certificate})
    assert deliver(gateway, f"anna@{DOMAIN}", subject) == "451 4.4.1"
    assert not server.lines("MAIL")


@pytest.mark.parametrize("mode, expected", [("require", "451 4.4.1"), ("may", 250), ("none", 250)])
def test_a_server_without_starttls_gets_mail_unless_it_is_required(mode, expected, make_postern, make_server, subject):
    server = make_server()
    gateway = make_postern([server], group={"tls": mode})
    assert deliver(gateway, f"anna@{DOMAIN}", subject) == expected


def test_tls_is_used_where_it_may_be_and_not_where_it_is_none(make_postern, make_server, authority, subject):
    server = make_server(tls=authority.issue("mailbox.example.com"))
    for mode in ("may", "none"):
        gateway = make_postern([server], group={"tls": mode})
        assert deliver(gateway, f"anna@{DOMAIN}", subject) == 250
        used = [connection for connection in server.connections if b"BDAT" in connection.received]
        assert used[-1].is_tls == (mode == "may")
        gateway.stop()
