"""Greylisting under the shipped policy, with real names from NSD, a real block list and a real store: who waits, who
never does, and who is taken for whom. Clients come in behind a PROXY header. The delay is a second; what must still
wait is looked at under a delay that no test outlives."""
import json
import os
import re

import pytest

from lib import nameserver
from lib.client import Client, message, proxy_v1
from lib.ports import LOOPBACK
from lib.postern import ROOT
from lib.wait import eventually

GOOD = "198.51.100.10"
POOL = "198.51.100.50", "203.0.113.60"       # one organisation, two networks, confirmed
LINES = "198.51.100.77", "198.51.100.78"     # customers of one access provider
NAMELESS, NEIGHBOUR, LITERAL = "198.51.100.20", "198.51.100.21", "198.51.100.22"
EXEMPT, KNOWN = "198.51.100.90", "198.51.100.91"

RECORDS = """\
good MX 10 mail.good
mail.good A 198.51.100.10
out1.pool A 198.51.100.50
out2.pool A 203.0.113.60
dsl-198-51-100-77.dynamic.provider A 198.51.100.77
dsl-198-51-100-78.dynamic.provider A 198.51.100.78
smtp.known A 198.51.100.91
"""
FIRST_REVERSE = """\
10 PTR mail.good.example.
50 PTR out1.pool.example.
77 PTR dsl-198-51-100-77.dynamic.provider.example.
78 PTR dsl-198-51-100-78.dynamic.provider.example.
91 PTR smtp.known.example.
"""
ZONES = {"example": RECORDS, "100.51.198.in-addr.arpa": FIRST_REVERSE,
         "113.0.203.in-addr.arpa": "60 PTR out2.pool.example.\n"}
LIST = "list.dnsbl.example"
TABLES = [("partners cidr", {}), ("banned cidr", {}), ("banned_names names", {}), ("banned_senders addresses", {}),
          ("exempt_clients cidr", {"entries": EXEMPT}), ("exempt_names names", {}), ("exempt_senders addresses", {}),
          ("exempt_recipients addresses", {}), ("well_known_senders names", {"entries": ".known.example"})]
GREYLISTED = "451 4.7.1"


@pytest.fixture(scope="module")
def nsd(make_name_server):
    return make_name_server(nameserver.Nsd, ZONES)


@pytest.fixture(scope="module")
def rbldnsd(make_name_server):
    return make_name_server(nameserver.Rbldnsd, {LIST: ("ip4set", ":127.0.0.2:Listed\n127.0.0.2\n")})


@pytest.fixture
def make_gateway(folder, make_server, make_postern, nsd, rbldnsd):
    def make(delay, **options):
        return make_postern([make_server()], **{
            "listener": {"proxy_from": LOOPBACK}, "policy": os.path.join(ROOT, "etc", "policy"), "table": TABLES,
            "block_list": [(LIST, {})], "workers": 1,
            "dns": {"use": "forward", "forward_to": str(nsd), "stub": [f"{LIST} {rbldnsd}"], "timeout": "2s"},
            "store": {"path": os.path.join(folder, "store", "greylist.db")}, "greylist": {"delay": delay}, **options})
    return make


def rcpt(gateway, client, helo, sender="news@good.example", to="anna@example.com"):
    with Client(gateway.address, first=proxy_v1(client)) as session:
        session.ehlo(helo)
        return session.envelope(to, sender=sender)


def waited(gateway, client, helo, **envelope):
    """The first answer that is not to come back later, of a client that keeps trying."""
    def attempt():
        reply = rcpt(gateway, client, helo, **envelope)
        return reply != GREYLISTED and reply
    assert rcpt(gateway, client, helo, **envelope) == GREYLISTED
    return eventually(attempt, "the delay is over")


def known_as(gateway, reply):
    gateway.wait_journal(id=reply.id)
    return json.loads(gateway.command("explain", "--json", reply.id).stdout)["greylist"]["known_as"]


def counts(gateway):
    return json.loads(gateway.command("report", "greylist", "--json").stdout)


# ---- who waits

def test_who_has_no_name_waits_before_any_list_is_asked_and_then_passes(make_gateway, rbldnsd):
    gateway = make_gateway("1s")
    assert rcpt(gateway, NAMELESS, "mail.good.example") == GREYLISTED
    assert rbldnsd.questions(NAMELESS) == []
    assert waited(gateway, NAMELESS, "mail.good.example", to="bert@example.com") == 250
    assert rbldnsd.questions(NAMELESS)


def test_a_literal_helo_without_a_name_hears_451_and_after_the_delay_550(make_gateway):
    gateway = make_gateway("1s")
    reply = waited(gateway, LITERAL, f"[{LITERAL}]")
    assert reply == "550 5.7.1"
    assert gateway.wait_journal(id=reply.id)["rule"] == "PTRNUL HELO_IP"


def test_a_clean_client_never_waits_and_neither_does_who_is_exempt(make_gateway):
    gateway = make_gateway("1h")
    assert rcpt(gateway, GOOD, "mail.good.example") == 250
    assert rcpt(gateway, EXEMPT, "mail.good.example") == 250
    assert rcpt(gateway, KNOWN, "localhost") == 250
    assert rcpt(gateway, NAMELESS, "mail.good.example", to="postmaster@example.com") == 250
    assert sum(counts(gateway)["greylist"].values()) == 0


# ---- who is taken for whom

def test_a_pool_with_confirmed_names_is_one_sender(make_gateway):
    gateway = make_gateway("1s")
    assert rcpt(gateway, POOL[0], "localhost") == GREYLISTED
    reply = eventually(lambda: (r := rcpt(gateway, POOL[1], "localhost")) == 250 and r, "the other host passes")
    record = gateway.wait_journal(client=POOL[1], action="pass")
    assert record["greylist"] == "retry" and reply == 250


def test_lines_of_one_provider_are_strangers_to_each_other(make_gateway):
    gateway = make_gateway("1s")
    helo = "mail.good.example"
    assert waited(gateway, LINES[0], helo) == 250
    reply = rcpt(gateway, LINES[1], helo)
    assert reply == GREYLISTED
    assert known_as(gateway, reply) == [f"ip:{LINES[1]}"]
    assert gateway.wait_journal(id=reply.id)["greylist"] == "new"


def test_neighbours_without_names_are_one_and_so_are_senders_but_for_their_codes(make_gateway):
    gateway = make_gateway("1s")
    helo = "mail.good.example"
    assert waited(gateway, NAMELESS, helo, sender="list-return-1-anna=example.com@good.example") == 250
    assert rcpt(gateway, NEIGHBOUR, helo, sender="list-return-2-anna=example.com@good.example") == 250
    assert rcpt(gateway, NEIGHBOUR, helo, sender="other-return-2-anna=example.com@good.example") == GREYLISTED


def test_a_silent_name_server_makes_nobody_known_to_his_network(make_gateway, folder, rbldnsd):
    nsd = nameserver.Nsd(os.path.join(folder, "nsd"), ZONES).start()
    gateway = make_gateway("1s", dns={"use": "forward", "forward_to": str(nsd), "stub": [f"{LIST} {rbldnsd}"],
                                      "timeout": "300ms"})
    try:
        nsd.freeze()
        assert waited(gateway, LINES[0], "localhost") == 250
        reply = rcpt(gateway, LINES[1], "localhost")
        assert reply == GREYLISTED
        assert known_as(gateway, reply) == ["net:198.51.100.0/24", f"ip:{LINES[1]}"]
        nsd.thaw()
        assert eventually(lambda: rcpt(gateway, LINES[0], "mail.good.example") == 250, "who passed is known by name")
    finally:
        nsd.stop()


# ---- what is earned

def test_messages_that_were_taken_make_a_sender_known(make_gateway):
    gateway = make_gateway("1s", greylist={"delay": "1s", "whitelist_after": 1})

    def send():
        with Client(gateway.address, first=proxy_v1(NAMELESS)) as session:
            session.ehlo("mail.good.example")
            if session.envelope("anna@example.com", sender="news@good.example") != 250:
                return None
            return session.data(message())

    assert send() is None
    assert eventually(send, "the delay is over") == 250
    assert eventually(lambda: rcpt(gateway, NAMELESS, "mail.good.example", sender="new@good.example",
                                   to="bert@example.com") == 250, "it is credited")
    assert gateway.wait_journal(sender="new@good.example", action="pass")["greylist"] == "whitelisted"
    assert gateway.wait_journal(sender="news@good.example", action="pass")["greylist"] == "autowhitelist"


def test_the_report_counts_in_the_words_of_the_field(make_gateway):
    gateway = make_gateway("1s")
    assert waited(gateway, NAMELESS, "mail.good.example") == 250
    eventually(lambda: counts(gateway)["greylist"]["retry"] == 1, "the journal is written")
    told = gateway.command("report", "greylist").stdout
    assert told.startswith("Postern greylist report\n\n")
    assert re.search(r"^ *1 Pass retry$", told, re.M) and re.search(r"^ *1 Reject new triplet$", told, re.M)
    assert "Effective rejection rate 50.0 %\n" in told
    assert re.search(r"^Mail that came back and passed waited \d+ s \(median\)", told, re.M)
