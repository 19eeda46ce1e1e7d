"""Clients behind a balancer: PROXY headers, XCLIENT, and how they are spread over the workers."""
import ipaddress
import os
import time

import pytest

from lib.client import Client, Closed, message, proxy_v1, proxy_v2
from lib.server import EXTENSIONS

BALANCER, STRANGER = "127.0.0.1", "127.0.0.77"
DIGITS = "0123456789abcdefghijklmnopqrstuv"


def process_of(identity):
    """The process number in an id: 42 bits of time, 8 of host, 8 of process, 12 of counter."""
    number = 0
    for digit in identity[:14]:
        number = number * 32 + DIGITS.index(digit)
    return number >> 12 & 0xff


@pytest.fixture
def server(make_server):
    return make_server()


@pytest.fixture
def behind_proxy(make_postern, server):
    return make_postern([server], listener={"proxy_from": BALANCER}, group={"forward_client": "xforward"})


@pytest.mark.parametrize("header, client", [
    (proxy_v1("203.0.113.7"), "203.0.113.7"), (proxy_v1("2001:db8::7", "2001:db8::1"), "2001:db8::7"),
    (proxy_v2("203.0.113.7"), "203.0.113.7"), (proxy_v2("2001:db8::7"), "2001:db8::7"),
    (proxy_v2("203.0.113.7", extra=b"\x03\x00\x04abcd\x21\x00\x02\x00\x00"), "203.0.113.7"),
    (proxy_v2("203.0.113.7", local=True), BALANCER), (b"PROXY UNKNOWN\r\n", BALANCER)],
                         ids=["v1 IPv4", "v1 IPv6", "v2 IPv4", "v2 IPv6", "v2 with TLVs", "v2 LOCAL", "v1 UNKNOWN"])
def test_the_client_is_who_the_proxy_header_says(header, client, behind_proxy, server, subject):
    with Client(behind_proxy.address, first=header) as sender:
        sender.ehlo()
        refusal = sender.envelope("nobody@example.com")
        assert refusal == "550 5.1.1"
        sender.command("RCPT TO:<anna@example.com>")
        assert sender.data(message(subject)) == 250
    behind_proxy.wait_log(rf"reject: RCPT from unknown\[{client}\]:.* sid={refusal.id}$")
    about = ("IPV6:" if ":" in client else "") + client
    assert f" ADDR={about}" in server.messages[0].forwarded
    assert f"[{'IPv6:' if ':' in client else ''}{client}]" in server.messages[0].header("Received")


@pytest.mark.parametrize("header", [
    b"EHLO client.example.net\r\n", b"PROXY TCP4 1.2.3.4\r\n", b"PROXY TCP4 999.1.1.1 1.1.1.1 1 25\r\n",
    b"PROXY " + b"x" * 120, proxy_v2("203.0.113.7").replace(b"QUIT\n\x21", b"QUIT\n\x11")],
                         ids=["none", "short", "address", "long", "version"])
def test_a_balancer_without_a_right_header_gets_no_session(header, behind_proxy):
    seen = len(behind_proxy.log())
    with Client(behind_proxy.address, first=header, greeted=False) as client:
        assert client.is_closed(within=5)
        assert not client.unread
    behind_proxy.wait_log("bad PROXY header", seen)


def test_a_balancer_that_says_nothing_is_cut_off_after_the_time_out(make_postern, server):
    gateway = make_postern([server], listener={"proxy_from": BALANCER}, timeouts={"proxy_header": "200ms"})
    with Client(gateway.address, greeted=False) as client:
        assert client.is_closed(within=5)


def test_a_proxy_header_that_comes_in_pieces_is_read_whole(behind_proxy):
    header = proxy_v2("203.0.113.7")
    with Client(behind_proxy.address, first=header[:5], greeted=False) as client:
        for byte in header[5:]:
            client.send(bytes([byte]))
        assert client.reply() == 220


def test_from_elsewhere_a_proxy_header_is_a_bad_command(behind_proxy):
    with Client(behind_proxy.address, source=STRANGER) as client:
        assert client.command(proxy_v1("203.0.113.7")[:-2]) == 500
        client.ehlo()
        refusal = client.envelope("nobody@example.com")
    behind_proxy.wait_log(rf"reject: RCPT from unknown\[{STRANGER}\]:.* sid={refusal.id}$")


def test_what_a_client_pipelines_behind_the_header_is_early_talk_and_is_still_understood(behind_proxy):
    """Also when it is handed from worker to worker with the descriptor, which some of these addresses are."""
    refusals = []
    for number in range(1, 9):
        header = proxy_v2(f"203.0.113.{number}")
        with Client(behind_proxy.address, first=header + b"EHLO client.example.net\r\n") as client:
            assert client.greeting == 220
            assert client.reply() == 250
            refusals.append(client.envelope("nobody@example.com").id)
    for refusal in refusals:
        assert behind_proxy.wait_journal(id=refusal)["early_talker"] is True


def test_a_thousand_client_addresses_load_all_workers(make_postern, server):
    gateway = make_postern([server], workers=2, listener={"proxy_from": BALANCER}, limits={"connections_client": 2})
    processes = {}
    first = int(ipaddress.ip_address("203.0.113.0"))
    for number in range(1000):
        address = str(ipaddress.ip_address(first + number * 7))
        with Client(gateway.address, first=proxy_v2(address)) as client:
            client.send(b"EHLO c.example.net\r\n")
            client.reply()
            client.send(b"MAIL FROM:<s@c.example.net>\r\nRCPT TO:<nobody@example.com>\r\nQUIT\r\n")
            client.reply()
            process = process_of(client.reply().id)
            processes[process] = processes.get(process, 0) + 1
            client.reply()
    assert len(processes) == 2 and min(processes.values()) > 300
    assert gateway.total("handed_over") > 100
    assert gateway.total("refused") == 1000


DELAY_S = 1.5
CLIENTS = [f"203.0.113.{number}" for number in range(1, 33)]  # half of them meet the wrong worker first


@pytest.fixture
def make_delaying(make_postern, server, folder):
    """Two workers behind a balancer, and newcomers wait."""
    def make(**options):
        path = os.path.join(folder, "policy")
        with open(path, "w", encoding="utf-8") as file:
            file.write('layer connection {\n    reject "BANNED IP" when client in banned\n'
                       '    reject "EARLY TALKER" when client.early_talker with 554 5.5.0 "Talked too early"\n}\n')
        return make_postern([server], workers=2, listener={"proxy_from": BALANCER}, policy=path,
                            table=[("banned cidr", {"entries": "203.0.113.0/28"})], dns={"use": "off"},
                            greeting_delay=f"{int(DELAY_S * 1000)}ms", **options)
    return make


def connect_all(gateway, clients, behind=b""):
    return [Client(gateway.address, first=proxy_v2(client) + behind, greeted=False) for client in clients]


def test_clients_that_are_handed_over_wait_once_and_are_remembered(make_delaying):
    gateway = make_delaying()
    clients = [client for client in CLIENTS if int(client.split(".")[3]) > 15]
    began = time.monotonic()
    sessions = connect_all(gateway, clients)
    for session in sessions:
        assert session.reply() == 220 and time.monotonic() - began >= DELAY_S
        session.ehlo()
        assert session.envelope("anna@example.com") == 250
        session.close()
    handed_over = gateway.total("handed_over")
    assert 0 < handed_over < len(clients) and gateway.total("early_talkers") == 0
    for client in clients:
        began = time.monotonic()
        with Client(gateway.address, first=proxy_v2(client)) as session:
            assert session.greeting == 220 and time.monotonic() - began < DELAY_S
    assert gateway.total("handed_over") > handed_over


def test_clients_that_are_handed_over_while_they_talk_are_early_talkers(make_delaying):
    gateway = make_delaying()
    sessions = connect_all(gateway, CLIENTS)
    for session in sessions:
        session.send(b"EHLO client.example.net\r\n")
    for client, session in zip(CLIENTS, sessions):
        assert session.reply() == 220 and session.reply() == 250
        is_banned = int(client.split(".")[3]) < 16
        reply = session.envelope("anna@example.com")
        assert reply == ("554 5.7.1" if is_banned else "554 5.5.0")
        assert gateway.wait_journal(id=reply.id, client=client)["early_talker"] is True
        session.close()
    assert gateway.total("early_talkers") == len(CLIENTS) and gateway.total("handed_over") > 0


def test_clients_that_are_handed_over_are_turned_away_or_greeted_by_the_worker_they_belong_to(make_delaying):
    gateway = make_delaying(refuse="at connect")
    sessions = connect_all(gateway, CLIENTS) + connect_all(gateway, CLIENTS, b"EHLO client.example.net\r\n")
    workers = {}
    for client, session, talks in zip(CLIENTS * 2, sessions, [False] * len(CLIENTS) + [True] * len(CLIENTS)):
        reply = session.reply()
        if int(client.split(".")[3]) < 16:
            assert reply == "554 5.7.1"
        else:
            assert reply == ("554 5.5.0" if talks else 220)
        if reply.id:
            assert gateway.wait_journal(id=reply.id)["client"] == client
            workers.setdefault(client, set()).add(process_of(reply.id))
        session.close()
    assert all(len(seen) == 1 for seen in workers.values()) and len(set.union(*workers.values())) == 2
    assert gateway.total("turned_away") == 15 + len(CLIENTS) and gateway.total("handed_over") > 0


def test_one_client_is_always_served_by_the_same_worker(behind_proxy):
    for number in range(1, 5):
        seen = set()
        for _ in range(8):
            with Client(behind_proxy.address, first=proxy_v2(f"203.0.113.{number}")) as client:
                client.ehlo()
                seen.add(process_of(client.envelope("nobody@example.com").id))
        assert len(seen) == 1


@pytest.mark.parametrize("addresses", [
    ["203.0.113.7"] * 4, ["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:ff::", "2001:db8:1:2::3"]],
                         ids=["an IPv4 address", "an IPv6 /64"])
def test_the_limit_per_client_holds_over_all_workers(addresses, make_postern, server):
    gateway = make_postern([server], listener={"proxy_from": BALANCER}, limits={"connections_client": 3})
    clients = [Client(gateway.address, first=proxy_v2(address)) for address in addresses]
    assert [client.greeting.code for client in clients] == [220, 220, 220, 421]
    assert clients[3].greeting == "421 4.7.0"
    with Client(gateway.address, first=proxy_v2("203.0.113.8")) as other:
        assert other.greeting == 220
    clients[0].quit()
    with Client(gateway.address, first=proxy_v2(addresses[0])) as again:
        assert again.greeting == 220
    assert gateway.total("too_many") == 1
    for client in clients:
        client.close()


def test_clients_over_ipv6_are_served_and_named_like_others(make_postern, server, subject):
    gateway = make_postern([server], start=False)
    gateway.configure(listen=[f"127.0.0.1:{gateway.port}", f"[::1]:{gateway.port}"])
    gateway.start()
    with Client(("::1", gateway.port)) as client:
        client.ehlo()
        refusal = client.envelope("nobody@example.com")
        client.command("RCPT TO:<anna@example.com>")
        assert client.data(message(subject)) == 250
    gateway.wait_log(rf"reject: RCPT from unknown\[::1\]:.* sid={refusal.id}$")
    assert "[IPv6:::1]" in server.messages[0].header("Received")


# ---- XCLIENT

def test_xclient_is_offered_to_named_clients_alone(make_postern, server):
    gateway = make_postern([server], listener={"xclient_from": BALANCER})
    with Client(gateway.address) as balancer:
        balancer.ehlo()
        assert "XCLIENT" in balancer.extensions
    with Client(gateway.address, source=STRANGER) as stranger:
        stranger.ehlo()
        assert "XCLIENT" not in stranger.extensions
        assert stranger.command("XCLIENT ADDR=203.0.113.7") == "550 5.7.1"


def test_the_client_is_who_xclient_says_and_the_session_begins_again(make_postern, server):
    gateway = make_postern([server], listener={"xclient_from": BALANCER})
    with Client(gateway.address) as balancer:
        balancer.ehlo()
        assert balancer.command("XCLIENT NAME=spike.example.net ADDR=203.0.113.7 PORT=4000") == 220
        assert balancer.command("MAIL FROM:<a@client.example.net>") == "503 5.5.1"
        balancer.ehlo()
        refusal = balancer.envelope("nobody@example.com")
    record = gateway.wait_journal(id=refusal.id)
    assert (record["client"], record["ptr"]) == ("203.0.113.7", "spike.example.net")
    gateway.wait_log(r"reject: RCPT from spike\.example\.net\[203\.0\.113\.7\]:")


def test_relaying_is_denied_to_a_client_that_xclient_names_even_if_the_balancer_may(make_postern, make_server):
    mailbox = make_server()
    gateway = make_postern([mailbox], listener={"xclient_from": BALANCER}, relay_clients=BALANCER, smart_host="mailbox")
    with Client(gateway.address) as balancer:
        balancer.ehlo()
        assert balancer.envelope("someone@elsewhere.example") == "250 2.1.5"
        balancer.command("RSET")
        assert balancer.command("XCLIENT ADDR=203.0.113.7") == 220
        balancer.ehlo()
        assert balancer.envelope("someone@elsewhere.example") == "554 5.7.1"


def test_the_limit_per_client_counts_whom_xclient_names(make_postern, server):
    gateway = make_postern([server], listener={"xclient_from": BALANCER}, limits={"connections_client": 2})
    balancers = []
    for _ in range(2):
        balancers.append(Client(gateway.address))
        assert balancers[-1].ehlo() == 250
        assert balancers[-1].command("XCLIENT ADDR=203.0.113.7") == 220
    with Client(gateway.address) as third:
        third.ehlo()
        assert third.command("XCLIENT ADDR=203.0.113.7") == "421 4.7.0"
        with pytest.raises(Closed):
            third.reply()
    for balancer in balancers:
        balancer.close()


@pytest.mark.parametrize("bad", ["", "ADDR=999.1.1.1", "ADDR", "COLOUR=red", "ADDR=203.0.113.7 PORT=99999"])
def test_a_malformed_xclient_is_an_error_and_changes_nothing(bad, make_postern, server):
    gateway = make_postern([server], listener={"xclient_from": BALANCER})
    with Client(gateway.address) as balancer:
        balancer.ehlo()
        assert balancer.command(f"XCLIENT {bad}".rstrip()) == "501 5.5.4"
        refusal = balancer.envelope("nobody@example.com")
    gateway.wait_log(rf"reject: RCPT from unknown\[{BALANCER}\]:.* sid={refusal.id}$")


# ---- the client, told to the mailbox server

@pytest.mark.parametrize("way", ["xforward", "xclient"])
def test_each_message_on_a_kept_connection_tells_its_own_client(way, make_postern, make_server, subject):
    server = make_server(extensions=[*EXTENSIONS, "XCLIENT NAME ADDR PORT HELO PROTO"])
    gateway = make_postern([server], workers=1, listener={"proxy_from": BALANCER}, group={"forward_client": way})
    for number in (7, 8, 9):
        with Client(gateway.address, first=proxy_v2(f"203.0.113.{number}")) as client:
            client.ehlo(f"host{number}.example.net")
            client.envelope("anna@example.com")
            assert client.data(message(subject)) == 250
    told = [sent.forwarded for sent in server.messages]
    for number, line in zip((7, 8, 9), told):
        assert line.startswith(way.upper()) and f"ADDR=203.0.113.{number}" in line
        assert f"HELO=host{number}.example.net" in line
