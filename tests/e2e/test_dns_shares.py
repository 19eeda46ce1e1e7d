"""One client that makes Postern ask slow names, and leaves without waiting: it loses facts of its own, and no one
else's. Block lists are asked about everybody all the while, the attacker's network included; the log and status say
what goes on."""
import itertools
import os
import socket

import pytest

from lib import nameserver
from lib.client import Client, proxy_v1
from lib.ports import LOOPBACK
from lib.wait import eventually

ATTACKER, LISTED_NEIGHBOUR = "203.0.113.9", "203.0.113.77"
GOOD, LISTED = "198.51.100.10", "198.51.100.31"
LIST, SLOW = "bl.dnsbl.example", "slow.example"
LISTS = {LIST: ("ip4set", f":127.0.0.2:Listed\n127.0.0.2\n{LISTED}\n{LISTED_NEIGHBOUR}\n")}
ZONES = {"example": "good MX 10 mail.good\nmail.good A 198.51.100.10\n"}
POLICY = """\
layer policy {
    reject "LISTED" when dnsbl.hits >= 1
    reject "SENDER" when not sender.resolves  with 550 5.1.8 "no such domain"
}
"""


@pytest.fixture(scope="module")
def nsd(make_name_server):
    return make_name_server(nameserver.Nsd, ZONES)


@pytest.fixture(scope="module")
def rbldnsd(make_name_server):
    return make_name_server(nameserver.Rbldnsd, LISTS)


@pytest.fixture
def gateway(make_postern, make_server, nsd, rbldnsd, folder):
    path = os.path.join(folder, "policy")
    with open(path, "w", encoding="utf-8") as file:
        file.write(POLICY)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((LOOPBACK, 0))
        slow = f"{LOOPBACK}:{silent.getsockname()[1]}"
        yield make_postern([make_server()], listener={"proxy_from": LOOPBACK}, policy=path, workers=1,
                           block_list=[(LIST, {})],
                           dns={"use": "forward", "forward_to": str(nsd), "timeout": "4s", "in_flight": 64,
                                "stub": [f"{LIST} {rbldnsd}", f"{SLOW} {slow}"]})


def envelope(gateway, client, sender):
    with Client(gateway.address, first=proxy_v1(client)) as session:
        session.ehlo("mail.good.example")
        return session.envelope("anna@example.com", sender=sender)


def leave_a_slow_question(gateway, number):
    """Another name each time, or it would be the same question."""
    with Client(gateway.address, first=proxy_v1(ATTACKER)) as session:
        session.ehlo("mail.good.example")
        session.command(f"MAIL FROM:<spam@n{number}.{SLOW}>")
        session.send(b"RCPT TO:<anna@example.com>\r\n")
        session.send(b"NOOP\r\n")


def attack_until_refused(gateway):
    numbers = itertools.count()

    def is_refused():
        for _ in range(8):
            leave_a_slow_question(gateway, next(numbers))
        return gateway.status()["dns"]["refused_client"] > 0
    eventually(is_refused, "the attacker has its share of questions in flight")


def test_a_client_that_leaves_slow_questions_behind_takes_dns_from_no_one_else(gateway):
    assert envelope(gateway, LISTED, "news@good.example") == "550 5.7.1"
    attack_until_refused(gateway)
    for number, client in enumerate((LISTED, LISTED_NEIGHBOUR, LISTED)):
        leave_a_slow_question(gateway, f"x{number}")
        reply = envelope(gateway, client, "news@good.example")
        assert reply == "550 5.7.1" and LIST in reply.text
        assert envelope(gateway, GOOD, f"news@no{number}.example") == "550 5.1.8"  # DNS is asked, and says no
        assert envelope(gateway, GOOD, "news@good.example") == 250
    assert gateway.status()["dns"]["refused_full"] == 0


def test_what_is_refused_is_in_the_log_once_and_in_status(gateway):
    attack_until_refused(gateway)
    for number in range(16):
        leave_a_slow_question(gateway, f"y{number}")
    line = "DNS questions for 203.0.113.0/24 are not asked: it has its share"
    gateway.wait_log(line)
    assert len(gateway.find_all_log(line)) == 1
    dns = gateway.status()["dns"]
    assert dns["max_in_flight"] == 64 and dns["in_flight"] < 64
    assert "questions " in gateway.command("status").stdout
    assert "no room" not in gateway.command("status", "--check").stdout  # a share does what it is for
