"""The shipped policy over real DNS: NSD has the names, rbldnsd the block lists, and clients from 198.51.100.0/24 come
in behind a PROXY header. What is refused is refused by its rule and can be explained; what DNS does not know refuses
nobody. Lists that cannot be trusted: test_block_lists.py."""
import os
import re
import time

import pytest

from lib import nameserver
from lib.client import Client, message, proxy_v1
from lib.ports import LOOPBACK, free_port
from lib.postern import ROOT
from lib.wait import eventually

GOOD = "198.51.100.10"
NAMELESS = "198.51.100.20"      # no PTR; on no list
ACCESS = "198.51.100.77"
ACCESS_HELO = "dsl-198-51-100-77.dynamic.provider.example"
LISTED_ONCE = "198.51.100.31"
LISTED_TWICE = "198.51.100.32"
OWN = "198.51.100.40"           # no PTR either; on both lists

RECORDS = """\
mail.good MX 10 mail.good
mail.good A 198.51.100.10
good MX 10 mail.good
mail.once A 198.51.100.31
mail.twice A 198.51.100.32
dsl-198-51-100-77.dynamic.provider A 198.51.100.77
null MX 0 .
"""
REVERSE = """\
10 PTR mail.good.example.
31 PTR mail.once.example.
32 PTR mail.twice.example.
77 PTR dsl-198-51-100-77.dynamic.provider.example.
"""
FIRST, SECOND = "first.dnsbl.example", "second.dnsbl.example"
TEST_ENTRY = ":127.0.0.2:Listed, see the list\n127.0.0.2\n"
LISTS = {
    FIRST: ("ip4set", TEST_ENTRY + f"{LISTED_ONCE}\n{LISTED_TWICE}\n{OWN}\n"),
    SECOND: ("ip4set", TEST_ENTRY + f"{LISTED_TWICE}\n{OWN}\n"),
}
ZONES = {"example": RECORDS, "100.51.198.in-addr.arpa": REVERSE}
TABLES = [("partners cidr", {}), ("banned cidr", {}), ("banned_names names", {}), ("banned_senders addresses", {}),
          ("exempt_clients cidr", {}), ("exempt_names names", {}), ("exempt_senders addresses", {}),
          ("exempt_recipients addresses", {}), ("well_known_senders names", {})]
DNS_TIMEOUT_S = 4
STALLED_TIMEOUT_S = 30          # no test waits for it


@pytest.fixture(scope="module")
def nsd(make_name_server):
    return make_name_server(nameserver.Nsd, ZONES)


@pytest.fixture(scope="module")
def rbldnsd(make_name_server):
    return make_name_server(nameserver.Rbldnsd, LISTS)


def configuration(nsd, lists, **options):
    """Keywords of Postern; `lists` are zones and who serves them."""
    stubs = [f"{zone} {server}" for zone, server in lists.items()]
    return {
        "listener": {"proxy_from": LOOPBACK}, "policy": os.path.join(ROOT, "etc", "policy"), "table": TABLES,
        "relay_clients": OWN, "block_list": [(zone, {"group": "main"}) for zone in lists], "workers": 1,
        "dns": {"use": "forward", "forward_to": str(nsd), "stub": stubs, "timeout": f"{DNS_TIMEOUT_S}s"}, **options}


@pytest.fixture(scope="module")
def shared(make_shared_postern, make_shared_server, nsd, rbldnsd):
    """With two lists that can be trusted."""
    gateway = make_shared_postern([make_shared_server()], **configuration(nsd, {FIRST: rbldnsd, SECOND: rbldnsd}))
    eventually(lambda: all(one["trusted"] for one in gateway.status()["block_lists"] if one["kind"] == "IPv4"),
               "both lists have stood their probes")
    return gateway


def connect(gateway, client, helo):
    session = Client(gateway.address, first=proxy_v1(client))
    session.ehlo(helo)
    return session


def envelope(gateway, client, helo, sender="news@good.example"):
    """The reply to the first RCPT, or to the MAIL that was not taken."""
    with connect(gateway, client, helo) as session:
        return session.envelope("anna@example.com", sender=sender)


def assert_explained(gateway, reply, rule):
    """The journal and `explain` name the rule, and the facts that it stands on."""
    record = gateway.wait_journal(id=reply.id)
    assert (record["action"], record["layer"], record["rule"]) == ("reject", "policy", rule)
    told = gateway.command("explain", reply.id).stdout
    assert re.search(rf'^verdict +reject "{rule}" \(layer policy\), {reply.code} {reply.enhanced}$', told, re.M), told
    assert re.search(rf"^ +policy +reject +{rule} +true ", told, re.M), told


# ---- what PTR, HELO and sender say


def test_a_literal_helo_without_a_ptr_is_refused_before_any_list_is_asked(shared, rbldnsd):
    reply = envelope(shared, NAMELESS, f"[{NAMELESS}]")
    assert reply == "550 5.7.1"
    assert_explained(shared, reply, "PTRNUL HELO_IP")
    assert rbldnsd.questions(NAMELESS) == []


def test_a_good_ptr_and_helo_are_let_through_and_both_lists_asked(shared, rbldnsd):
    assert envelope(shared, GOOD, "mail.good.example") == 250
    for zone in (FIRST, SECOND):  # the first no decides, so the second list may still be reading its question
        eventually(lambda: any(zone in name for name in rbldnsd.questions(GOOD)), f"{zone} is asked")


def test_no_ptr_alone_refuses_nobody(shared):
    assert envelope(shared, NAMELESS, "mail.good.example") == 250


def test_ptr_and_helo_of_an_access_line_are_refused_before_any_list_is_asked(shared, rbldnsd):
    reply = envelope(shared, ACCESS, ACCESS_HELO)
    assert reply == "550 5.7.1"
    assert_explained(shared, reply, "PTR HELO ACCESS_NET")
    assert rbldnsd.questions(ACCESS) == []


def test_a_sender_domain_without_records_is_refused(shared):
    reply = envelope(shared, GOOD, "mail.good.example", sender="news@nowhere.example")
    assert reply == "550 5.1.8" and "nowhere.example" in reply.text
    assert_explained(shared, reply, "SENDER DOMAIN")


def test_a_sender_domain_that_says_it_sends_no_mail_is_refused(shared):
    reply = envelope(shared, GOOD, "mail.good.example", sender="news@null.example")
    assert reply == "550 5.7.27" and "null.example" in reply.text
    assert_explained(shared, reply, "SENDER NULL MX")


def test_our_own_server_is_let_through_with_everything_against_it(shared, rbldnsd):
    assert envelope(shared, OWN, f"[{OWN}]", sender="news@nowhere.example") == 250
    assert rbldnsd.questions(OWN) == []


# ---- lists


def test_one_list_alone_refuses_nobody(shared, rbldnsd):
    assert envelope(shared, LISTED_ONCE, "mail.once.example") == 250
    assert rbldnsd.questions(LISTED_ONCE)


def test_one_list_and_a_literal_helo_refuse(shared):
    reply = envelope(shared, LISTED_ONCE, f"[{LISTED_ONCE}]")
    assert reply == "550 5.7.1" and FIRST in reply.text
    assert_explained(shared, reply, "RBL HELO_IP")


def test_two_lists_refuse_and_the_reply_names_both(shared):
    reply = envelope(shared, LISTED_TWICE, "mail.twice.example")
    assert reply == "550 5.7.1" and FIRST in reply.text and SECOND in reply.text
    assert_explained(shared, reply, "RBL MULTIPLE MAIN")


# ---- at connect

AT_CONNECT = """\
layer connection {
    reject "LISTED" when dnsbl.hits >= 2
}
"""


@pytest.fixture
def at_connect(folder):
    """Keywords for a gateway that asks lists about a client before it is greeted."""
    path = os.path.join(folder, "policy")
    with open(path, "w", encoding="utf-8") as file:
        file.write(AT_CONNECT)
    return {"policy": path, "refuse": "at connect"}


def test_who_is_listed_hears_554_instead_of_the_greeting(make_postern, make_server, nsd, rbldnsd, at_connect):
    gateway = make_postern([make_server()], **configuration(nsd, {FIRST: rbldnsd, SECOND: rbldnsd}, **at_connect))
    with Client(gateway.address, first=proxy_v1(LISTED_TWICE)) as refused:
        assert refused.greeting == "554 5.7.1" and FIRST in refused.greeting.text and SECOND in refused.greeting.text
        assert refused.ehlo() == 503
        assert refused.command("QUIT") == 221
        assert refused.is_closed()
    assert gateway.wait_log(rf"smtpd\[\d+\]: NOQUEUE: reject: CONNECT from unknown\[{LISTED_TWICE}\]: 554 5\.7\.1 ")
    record = gateway.wait_journal(id=refused.greeting.id)
    assert (record["layer"], record["rule"], record["action"]) == ("connection", "LISTED", "reject")
    assert "rcpt" not in record and "helo" not in record
    assert re.search(r'^verdict +reject "LISTED"', gateway.command("explain", refused.greeting.id).stdout, re.M)
    assert gateway.command("report", "policy").stdout.split() == ["1", "LISTED"]
    assert gateway.total("turned_away") == 1
    assert envelope(gateway, LISTED_ONCE, "mail.once.example") == 250


def test_a_list_that_is_away_at_connect_refuses_nobody(make_postern, make_server, nsd, rbldnsd, at_connect):
    away = f"{LOOPBACK}:{free_port()}"
    gateway = make_postern([make_server()], **configuration(nsd, {FIRST: rbldnsd, SECOND: away}, **at_connect))
    assert envelope(gateway, LISTED_TWICE, "mail.twice.example") == 250


# ---- a name server that is away


@pytest.mark.parametrize("choice, expected", [(None, "250"), ("defer", "451 4.4.3")])
def test_a_name_server_that_stands_still_refuses_nobody_and_holds_up_nobody_else(
        choice, expected, make_postern, make_server, folder, rbldnsd):
    nsd = nameserver.Nsd(os.path.join(folder, "nsd"), ZONES).start()
    gateway = make_postern([make_server()], **configuration(
        nsd, {FIRST: rbldnsd, SECOND: rbldnsd}, on_failure=choice and {"dns": choice}))
    try:
        nsd.freeze()
        sessions = [connect(gateway, client, helo) for client, helo in (
            (NAMELESS, f"[{NAMELESS}]"), (ACCESS, ACCESS_HELO), (GOOD, "mail.good.example"))]
        for session in sessions:
            assert session.command("MAIL FROM:<news@null.example>") == 250
        began = time.monotonic()
        for session in sessions:
            session.send("RCPT TO:<anna@example.com>\r\n")
        assert envelope(gateway, OWN, "own.example") == 250
        assert time.monotonic() - began < DNS_TIMEOUT_S
        for session in sessions:
            reply = session.reply()
            assert reply.code == int(expected[:3]) and reply.enhanced in expected + " 2.1.5", reply
            session.close()
    finally:
        nsd.stop()


# ---- trying it out


def shadows(gateway, client):
    """The rules that would have acted on this client."""
    return [rule for record in gateway.journal() if record["client"] == client for rule in record.get("shadow", [])]


def test_with_enforce_no_mail_passes_and_the_journal_names_what_would_have_refused_it(
        make_postern, make_server, nsd, rbldnsd):
    server = make_server()
    gateway = make_postern([server], **configuration(nsd, {FIRST: rbldnsd, SECOND: rbldnsd}, enforce="no"))
    for client, helo in ((GOOD, "mx.example.com"), (NAMELESS, f"[{NAMELESS}]"), (LISTED_TWICE, "mail.twice.example")):
        with connect(gateway, client, helo) as session:
            assert session.envelope("anna@example.com", sender="news@good.example") == 250
            assert session.data(message()) == 250
    assert len(server.messages) == 3
    eventually(lambda: "HELO IS OURS" in shadows(gateway, GOOD), "shadow hit of the HELO")
    eventually(lambda: "PTRNUL HELO_IP" in shadows(gateway, NAMELESS), "shadow hit of the literal HELO")
    eventually(lambda: "RBL MULTIPLE MAIN" in shadows(gateway, LISTED_TWICE), "shadow hit of the lists")
    decision = next(record["id"] for record in gateway.journal() if "PTRNUL HELO_IP" in record.get("shadow", []))
    told = gateway.command("explain", decision).stdout
    assert re.search(r"^verdict +pass$", told, re.M), told
    assert re.search(r'^enforced +reject "PTRNUL HELO_IP" \(layer policy\), 550 5.7.1$', told, re.M), told


@pytest.fixture
def stalled(make_postern, make_server, folder, rbldnsd):
    """Nothing is enforced, and DNS stands still: the gateway, and the name server to thaw."""
    nsd = nameserver.Nsd(os.path.join(folder, "nsd"), ZONES).start()
    options = configuration(nsd, {FIRST: rbldnsd, SECOND: rbldnsd}, enforce="no")
    options["dns"]["timeout"] = f"{STALLED_TIMEOUT_S}s"
    gateway = make_postern([make_server()], **options)
    nsd.freeze()
    yield gateway, nsd
    nsd.stop()


def be_let_through_at_once(gateway):
    """The recipient's record is still to come when this returns."""
    began = time.monotonic()
    with connect(gateway, NAMELESS, f"[{NAMELESS}]") as session:
        assert session.envelope("anna@example.com", sender="news@good.example") == 250
        assert session.command("QUIT") == 221
    assert time.monotonic() - began < STALLED_TIMEOUT_S / 2
    return began


def test_with_enforce_no_a_name_server_that_stands_still_delays_no_reply_and_no_rule_is_missed(stalled):
    gateway, nsd = stalled
    be_let_through_at_once(gateway)
    decided = time.monotonic()
    eventually(lambda: time.monotonic() - decided > 0.002, "another millisecond than that of the decision")
    nsd.thaw()
    record = gateway.wait_journal(client=NAMELESS)
    assert record["action"] == "pass" and record["reply"]["code"] == 250
    assert "PTRNUL HELO_IP" in record["shadow"] and record["ptr_status"] == "none"
    assert record["facts"]["ptr.none"]["v"] is True and record["facts"]["ptr.none"]["after"] > 0
    assert record["facts"]["helo.address"] is True
    told = gateway.command("explain", record["id"]).stdout
    assert re.search(r"^ +ptr\.none +true +dns, \d+ ms after the decision$", told, re.M), told


def test_a_reload_waits_for_no_rule_that_is_not_enforced_and_loses_no_record(stalled):
    gateway, _ = stalled
    began = be_let_through_at_once(gateway)
    gateway.reload()
    record = gateway.wait_journal(client=NAMELESS)
    assert time.monotonic() - began < STALLED_TIMEOUT_S
    assert record["action"] == "pass" and "ptr.none" not in record["facts"]


def test_what_dns_does_not_say_in_time_is_recorded_as_such(make_postern, make_server, folder, rbldnsd):
    nsd = nameserver.Nsd(os.path.join(folder, "nsd"), ZONES).start()
    gateway = make_postern([make_server()], **configuration(nsd, {FIRST: rbldnsd, SECOND: rbldnsd}, enforce="no"))
    try:
        nsd.freeze()
        assert envelope(gateway, NAMELESS, f"[{NAMELESS}]") == 250
        record = gateway.wait_journal(client=NAMELESS)
    finally:
        nsd.stop()
    assert record["facts"]["ptr.none"]["state"] == "unavailable"
    assert record["facts"]["ptr.none"]["after"] >= DNS_TIMEOUT_S * 1000
    assert record["took_us"]["transaction"] < DNS_TIMEOUT_S * 1000000
