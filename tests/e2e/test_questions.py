"""What a client costs in questions to DNS, under the shipped policy with a store and two block lists: never more than
its fate needs. The sessions are mixed, and what counts is what came to the name servers. How many questions a thousand
sessions of a mixed load cost: bench/run --only questions."""
import os

import pytest

from lib import nameserver
from lib.client import Client, proxy_v1
from lib.ports import LOOPBACK
from lib.postern import ROOT
from lib.wait import eventually

FIRST, SECOND = "first.dnsbl.example", "second.dnsbl.example"
NAMELESS, ACCESS, GOOD, LISTED, BANNED, OWN, TALKER, BOUNCES = (f"198.51.100.{n}" for n in range(20, 28))
STRANGERS = [f"198.51.100.{n}" for n in range(100, 140)]  # who know no recipient of ours

NAMES = {GOOD: "mail.good.example", LISTED: "mail.listed.example", BOUNCES: "mail.bounces.example",
         ACCESS: "dsl-198-51-100-21.dynamic.provider.example"}
RECORDS = "".join(f"{name}. A {address}\n" for address, name in NAMES.items()) + \
    "good MX 10 mail.good\nlisted MX 10 mail.listed\nnull MX 0 .\nempty TXT empty\n"
REVERSE = "".join(f"{address.rsplit('.', 1)[1]} PTR {name}.\n" for address, name in NAMES.items())
TEST_ENTRY = ":127.0.0.2:Listed, see the list\n127.0.0.2\n"
TABLES = [("partners cidr", {}), ("banned cidr", {"entries": BANNED}), ("banned_names names", {}),
          ("banned_senders addresses", {}), ("exempt_clients cidr", {}), ("exempt_names names", {}),
          ("exempt_senders addresses", {}), ("exempt_recipients addresses", {}), ("well_known_senders names", {})]


class Asked:
    """What both servers were asked. The lists' own log is there too."""

    def __init__(self, nsd, rbldnsd):
        self.rbldnsd = rbldnsd
        self.names, self.lists = nameserver.Tap(nsd), nameserver.Tap(rbldnsd)

    def __call__(self, *about):
        """The sorted questions about these addresses, and names that end so."""
        reversed_ = tuple(".".join(reversed(one.split("."))) + "." for one in about)
        return sorted(f"{kind} {name}" for kind, name in self.names.questions + self.lists.questions
                      if name.startswith(reversed_) or name.endswith(about))

    def assert_just(self, *expected, about):
        """These questions, in any order, and no others; the last of them may not have been read yet."""
        eventually(lambda: len(self(*about)) >= len(expected), f"{expected} are asked")
        assert self(*about) == sorted(expected)

    def stop(self):
        self.names.stop()
        self.lists.stop()


def ptr(address):
    return f"PTR {'.'.join(reversed(address.split('.')))}.in-addr.arpa"


def listings(address, kind="A"):
    return [f"{kind} {'.'.join(reversed(address.split('.')))}.{zone}" for zone in (FIRST, SECOND)]


@pytest.fixture
def asked(make_name_server):
    entries = TEST_ENTRY + LISTED + "\n"
    rbldnsd = make_name_server(nameserver.Rbldnsd, {zone: ("ip4set", entries) for zone in (FIRST, SECOND)})
    nsd = make_name_server(nameserver.Nsd, {"example": RECORDS, "100.51.198.in-addr.arpa": REVERSE})
    servers = Asked(nsd, rbldnsd)
    yield servers
    servers.stop()


@pytest.fixture
def gateway(folder, make_postern, make_server, asked):
    gateway = make_postern(
        [make_server()], listener={"proxy_from": LOOPBACK}, policy=os.path.join(ROOT, "etc", "policy"), table=TABLES,
        relay_clients=OWN, block_list=[(zone, {"group": "main"}) for zone in (FIRST, SECOND)],
        dns={"use": "forward", "forward_to": str(asked.names),
             "stub": [f"{zone} {asked.lists}" for zone in (FIRST, SECOND)]},
        store={"path": os.path.join(folder, "store", "greylist.db")}, greylist={"delay": "1s"})
    eventually(lambda: all(one["trusted"] for one in gateway.status()["block_lists"] if one["kind"] == "IPv4"),
               "both lists have stood their probes")
    return gateway


def envelope(gateway, client, helo, sender="news@good.example", to="anna@example.com", before=b""):
    with Client(gateway.address, first=proxy_v1(client) + before) as session:
        if before:
            assert session.reply() == 250
        else:
            session.ehlo(helo)
        return session.envelope(to, sender=sender)


def test_nobody_asks_more_about_a_client_than_its_fate_needs(gateway, asked):
    def literal():
        return envelope(gateway, NAMELESS, f"[{NAMELESS}]")

    def access():
        return envelope(gateway, ACCESS, NAMES[ACCESS])

    def listed():
        return envelope(gateway, LISTED, NAMES[LISTED], sender="news@listed.example")

    for number, stranger in enumerate(STRANGERS):
        reply = envelope(gateway, stranger, f"[{stranger}]", f"a@x{number}.stranger.example",
                         "nobody@example.com" if number % 2 else "nobody@elsewhere.example")
        assert reply == ("550 5.1.1" if number % 2 else "554 5.7.1")
        if number == 5:
            assert literal() == "451 4.7.1" and access() == "451 4.7.1"
        if number == 10:
            assert envelope(gateway, GOOD, NAMES[GOOD]) == 250
            assert envelope(gateway, BANNED, "x.stranger.example", "a@stranger.example") == "554 5.7.1"
            assert envelope(gateway, OWN, f"[{OWN}]", "a@stranger.example") == 250
        if number == 20:
            assert listed() == "550 5.7.1"
            assert envelope(gateway, TALKER, "", "a@stranger.example", before=b"EHLO early\r\n") == "554 5.5.0"
            assert envelope(gateway, NAMELESS, "other", "a@stranger.example", "postmaster@example.com") == 250
            assert envelope(gateway, BOUNCES, NAMES[BOUNCES], "") == 250
    # greylisted: its name, for the greylist knows senders by names too; of the nameless there is none to confirm
    assert asked(NAMELESS) == [ptr(NAMELESS)]
    assert asked(ACCESS, "provider.example") == [f"A {NAMES[ACCESS]}", ptr(ACCESS)]
    refused = eventually(lambda: (reply := literal()) == "550 5.7.1" and reply, "the delay is over")
    assert gateway.wait_journal(id=refused.id)["rule"] == "PTRNUL HELO_IP"
    refused = eventually(lambda: (reply := access()) == "550 5.7.1" and reply, "the delay is over")
    assert gateway.wait_journal(id=refused.id)["rule"] == "PTR HELO ACCESS_NET"
    # refused by what they say of themselves: no list was asked, nor was their sender's domain
    assert asked(NAMELESS) == [ptr(NAMELESS)]
    assert asked(ACCESS, "provider.example") == [f"A {NAMES[ACCESS]}", ptr(ACCESS)]
    # unknown recipients, relaying, banned clients, our own, early talkers, postmaster
    assert asked(*STRANGERS, BANNED, OWN, TALKER, "stranger.example") == []
    assert not any(asked.rbldnsd.questions(one) for one in (NAMELESS, ACCESS, BANNED, OWN, TALKER, *STRANGERS))
    # clean ones: name, sender, both lists; the null sender has no domain
    asked.assert_just(ptr(GOOD), "A mail.good.example", "MX good.example", *listings(GOOD),
                      about=(GOOD, "good.example"))
    asked.assert_just(ptr(BOUNCES), f"A {NAMES[BOUNCES]}", *listings(BOUNCES), about=(BOUNCES, "bounces.example"))
    # listed: the lists are asked for their words too
    asked.assert_just(ptr(LISTED), f"A {NAMES[LISTED]}", "MX listed.example", *listings(LISTED),
                      *listings(LISTED, "TXT"), about=(LISTED, "listed.example"))


def test_a_sender_domain_that_refuses_alone_leaves_the_lists_unasked(gateway, asked):
    assert envelope(gateway, GOOD, NAMES[GOOD], "a@null.example") == "550 5.7.27"
    assert asked(GOOD, "null.example") == sorted([ptr(GOOD), "MX null.example"])
    assert envelope(gateway, GOOD, NAMES[GOOD], "a@nowhere.example") == "550 5.1.8"
    assert asked("nowhere.example") == ["MX nowhere.example"]  # which is no name at all
    assert envelope(gateway, GOOD, NAMES[GOOD], "a@empty.example") == "550 5.1.8"
    assert asked("empty.example") == [f"{kind} empty.example" for kind in ("A", "AAAA", "MX")]
    assert asked(GOOD) == [ptr(GOOD)]


def test_a_client_that_comes_again_costs_nothing_more(gateway, asked):
    for _ in range(20):
        assert envelope(gateway, GOOD, NAMES[GOOD]) == 250
    asked.assert_just(ptr(GOOD), "A mail.good.example", "MX good.example", *listings(GOOD),
                      about=(GOOD, "good.example"))
