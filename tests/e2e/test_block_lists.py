"""Block lists that fail, each in a way that lists have failed in: none of them makes Postern refuse a legitimate
client, whichever rule asks; `status` says how each stands; the others are believed all the same. The policy is
stricter than the shipped one: a single listing refuses, so that one wrong answer would show."""
import json
import os
import re
import socket

import pytest

from lib import nameserver
from lib.client import Client, proxy_v1
from lib.ports import LOOPBACK, free_port
from lib.wait import eventually

GOOD, LISTED = "198.51.100.10", "198.51.100.31"
GOOD_IPV6, LISTED_IPV6 = "2001:db8:1::10", "2001:db8:1::31"
NAMED = "198.51.100.50"  # whose PTR is on a list of names
ATTACKERS = [f"203.0.113.{n}" for n in range(1, 65)]
OTHERS = [f"198.51.100.{n}" for n in range(100, 164)]

RECORDS = "mail.good A 198.51.100.10\nmail.good AAAA 2001:db8:1::10\nmail.named A 198.51.100.50\n"
REVERSE = "10 PTR mail.good.example.\n50 PTR mail.named.example.\n"
TEXT = ":127.0.0.2:Listed, see the list\n"
TEST_ENTRY = TEXT + "127.0.0.2\n"
TRUE, NAMES, DUAL = "true.dnsbl.example", "names.dnsbl.example", "dual.dnsbl.example"
WORLD, WORLD_BUT, REFUSING = "world.dnsbl.example", "but.dnsbl.example", "refusing.dnsbl.example"
EMPTY, TURNING, WELCOME = "empty.dnsbl.example", "turning.dnsbl.example", "welcome.dnsbl.example"
KEY, KEYED = "0secret0key0", "keyed.dnsbl.example"
LISTS = {
    TRUE: ("ip4set", TEST_ENTRY + f"{LISTED}\n203.0.113.0/24\n"),
    DUAL: [("ip4set", TEST_ENTRY), ("ip6trie", TEXT + f"::ffff:7f00:2\n{LISTED_IPV6}\n")],
    NAMES: ("dnset", TEXT + "test\nlisted.example\n.listed-below.example\n"),
    WORLD: ("ip4trie", "0.0.0.0/0 :127.0.0.2:All of them\n"),
    WORLD_BUT: ("ip4trie", "0.0.0.0/0 :127.0.0.2:All of them\n!127.0.0.1\n"),
    REFUSING: ("ip4trie", "0.0.0.0/0 :127.255.255.254:Public resolver\n"),
    EMPTY: ("ip4set", TEXT + f"{LISTED}\n{GOOD}\n"),
    TURNING: ("ip4trie", TEST_ENTRY + f"{LISTED}\n"),
    WELCOME: ("ip4set", TEST_ENTRY + f"{GOOD}\n"),
    f"{KEY}.{KEYED}": ("ip4set", f":127.0.0.2:Listed, see http://{KEY}.{KEYED}/?$\n127.0.0.2\n{LISTED}\n"),
}
PARKED, BROKEN, IPV4 = "parked.dnsbl.example", "broken.dnsbl.example", "ipv4.dnsbl.example"  # of NSD
SILENT, DEAD = "silent.dnsbl.example", "dead.dnsbl.example"
WILD = "wild.dnsbl.example"                                          # of names
ZONES = {"example": RECORDS, "100.51.198.in-addr.arpa": REVERSE, PARKED: "* A 192.0.2.80\n", BROKEN: None,
         WILD: "* A 127.0.0.2\n", IPV4: f"2.0.0.127 A 127.0.0.2\n{'.'.join(LISTED.split('.')[::-1])} A 127.0.0.4\n"}

POLICY = """\
layer policy {
    reject "LISTED"        when dnsbl.hits >= 1
    reject "PTR LISTED"    when ptr.dnsbl.hits >= 1
    reject "HELO LISTED"   when helo.dnsbl.hits >= 1
    reject "SENDER LISTED" when sender.dnsbl.hits >= 1
}
"""
SCORE_POLICY = 'layer policy {\n    reject "SCORE" when dnsbl.score >= 2\n}\n'


@pytest.fixture(scope="module")
def nsd(make_name_server):
    return make_name_server(nameserver.Nsd, ZONES)


@pytest.fixture(scope="module")
def rbldnsd(make_name_server):
    return make_name_server(nameserver.Rbldnsd, LISTS)


@pytest.fixture
def own_rbldnsd(folder):
    """For a test that changes its lists, or ends it."""
    server = nameserver.Rbldnsd(os.path.join(folder, "rbldnsd"), dict(LISTS)).start()
    yield server
    server.stop()


@pytest.fixture
def silent():
    """Takes questions and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOOPBACK, 0))
        yield f"{LOOPBACK}:{sock.getsockname()[1]}"


@pytest.fixture
def make_gateway(make_postern, make_server, nsd, folder):
    """A gateway with `lists`: zone to who serves it, or to that and the options of its block."""
    def make(lists, policy=POLICY, **options):
        path = os.path.join(folder, "policy")
        with open(path, "w", encoding="utf-8") as file:
            file.write(policy)
        lists = {zone: one if isinstance(one, tuple) else (one, {}) for zone, one in lists.items()}
        return make_postern(
            [make_server()], listener={"proxy_from": LOOPBACK}, policy=path, workers=1,
            block_list=[(zone, block) for zone, (_, block) in lists.items()],
            dns={"use": "forward", "forward_to": str(nsd), "timeout": "1500ms",
                 "stub": [f"{zone} {server}" for zone, (server, _) in lists.items()]}, **options)
    return make


def envelope(gateway, client=GOOD, helo="mail.good.example", sender="news@good.example"):
    """The reply to the first RCPT."""
    with Client(gateway.address, first=proxy_v1(client)) as session:
        session.ehlo(helo)
        return session.envelope("anna@example.com", sender=sender)


def state(gateway, zone, kind="IPv4"):
    """What status tells of the list."""
    return next(one for one in gateway.status()["block_lists"] if one["zone"] == zone and one["kind"] == kind)


def wait_state(gateway, zone, trusted, why="", kind="IPv4"):
    def is_so():
        one = state(gateway, zone, kind)
        return one["probes"] > 0 and one["trusted"] == trusted and why in one["why"]
    eventually(is_so, f"status tells that {zone} is {'' if trusted else 'not '}trusted {why}")


# ---- lists that fail from the start


@pytest.mark.parametrize("zone, why", [
    (DEAD, "does not answer in time"), (SILENT, "does not answer in time"), (WORLD, "lists everything"),
    (WORLD_BUT, "lists everything"), (REFUSING, "no return code"), (PARKED, "no return code"),
    (BROKEN, "its servers fail"), (EMPTY, "test entry is not listed")])
def test_a_list_that_cannot_be_trusted_refuses_nobody_and_status_says_so(zone, why, make_gateway, nsd, rbldnsd, silent):
    servers = {SILENT: silent, DEAD: f"{LOOPBACK}:{free_port()}", PARKED: nsd, BROKEN: nsd}
    gateway = make_gateway({TRUE: rbldnsd, zone: servers.get(zone, rbldnsd)})
    assert envelope(gateway) == 250                 # while its first probes are under way
    wait_state(gateway, zone, False, why)
    assert re.search(rf"^{zone} .* no: .*{why}", gateway.command("status").stdout, re.M)
    assert len(gateway.find_all_log(f"block list {zone} is not used for IPv4: .*{why}")) == 1
    assert envelope(gateway) == 250
    reply = envelope(gateway, LISTED)               # the other list is believed all the same
    assert reply == "550 5.7.1" and TRUE in reply.text and zone not in reply.text


def test_a_list_of_names_that_lists_the_world_or_has_no_test_entry_refuses_nobody(make_gateway, nsd, rbldnsd):
    of_names = {"for": "ptr helo sender"}
    gateway = make_gateway({WILD: (nsd, of_names), EMPTY: (rbldnsd, of_names)})
    for zone, why in ((WILD, "lists everything"), (EMPTY, "test entry is not listed")):
        wait_state(gateway, zone, False, why, kind="names")
    assert envelope(gateway) == 250


# ---- lists that fail later


@pytest.mark.parametrize("answer", ["192.0.2.80", "127.255.255.254"])
def test_a_list_that_begins_to_answer_nonsense_refuses_nobody_from_then_on(answer, make_gateway, own_rbldnsd):
    gateway = make_gateway({TRUE: own_rbldnsd, TURNING: own_rbldnsd})
    assert envelope(gateway, LISTED) == "550 5.7.1"
    wait_state(gateway, TURNING, True)
    own_rbldnsd.change(TURNING, "ip4trie", f"0.0.0.0/0 :{answer}:This is no list\n")
    assert envelope(gateway) == 250
    wait_state(gateway, TURNING, False, "no return code")
    assert envelope(gateway) == 250


def test_a_list_that_begins_to_list_the_world_is_found_out_by_its_hits(make_gateway, own_rbldnsd):
    gateway = make_gateway({TURNING: own_rbldnsd, TRUE: own_rbldnsd},
                           policy=POLICY.replace("dnsbl.hits >= 1", "dnsbl.hits >= 2", 1))
    for client in OTHERS[:32]:
        assert envelope(gateway, client) == 250
    own_rbldnsd.change(TURNING, "ip4trie", "0.0.0.0/0 :127.0.0.2:All of them\n")
    for client in OTHERS[32:]:
        assert envelope(gateway, client) == 250
    wait_state(gateway, TURNING, False, "lists everything")


def test_a_list_that_goes_away_refuses_nobody_and_holds_nobody_up_for_long(make_gateway, own_rbldnsd, rbldnsd):
    gateway = make_gateway({TURNING: own_rbldnsd, TRUE: rbldnsd})
    assert envelope(gateway, LISTED) == "550 5.7.1"
    own_rbldnsd.freeze()
    for client in OTHERS[:8]:
        assert envelope(gateway, client) == 250
    wait_state(gateway, TURNING, False)
    reply = envelope(gateway, ATTACKERS[0])
    assert reply == "550 5.7.1" and TRUE in reply.text


# ---- a list in the middle of an attack


def test_a_list_whose_hits_jump_in_an_attack_is_probed_and_stays_trusted(make_gateway, rbldnsd):
    gateway = make_gateway({TRUE: rbldnsd})
    for client in OTHERS:
        assert envelope(gateway, client) == 250
    wait_state(gateway, TRUE, True)
    probes = state(gateway, TRUE)["probes"]
    for client in ATTACKERS:
        assert envelope(gateway, client) == "550 5.7.1"
        assert state(gateway, TRUE)["trusted"]
    assert state(gateway, TRUE)["probes"] > probes
    assert envelope(gateway) == 250
    assert not gateway.find_log("is not used")


# ---- welcome lists


def test_a_welcome_list_saves_whom_it_holds_and_when_it_is_away_nobody_is_refused_for_its_silence(
        make_gateway, own_rbldnsd, rbldnsd):
    heavy = {"weight": 2}
    gateway = make_gateway({TRUE: (rbldnsd, heavy), WORLD: (rbldnsd, heavy),
                            WELCOME: (own_rbldnsd, {"weight": -1})}, policy=SCORE_POLICY)
    own_rbldnsd.change(WELCOME, "ip4set", TEST_ENTRY + f"{LISTED}\n")
    wait_state(gateway, WELCOME, True)
    assert envelope(gateway, LISTED) == 250                  # 2 - 1
    assert envelope(gateway, ATTACKERS[0]) == "550 5.7.1"    # 2
    own_rbldnsd.freeze()
    assert envelope(gateway, ATTACKERS[1]) == 250            # 1 or 2
    assert envelope(gateway) == 250
    eventually(lambda: envelope(gateway, ATTACKERS[2]) == 250 and not state(gateway, WELCOME)["trusted"],
               "the welcome list is not trusted")
    assert envelope(gateway, ATTACKERS[3]) == 250


# ---- IPv6, and lists of names


def test_a_list_of_both_families_is_asked_about_both(make_gateway, rbldnsd):
    gateway = make_gateway({DUAL: rbldnsd})
    reply = envelope(gateway, LISTED_IPV6)
    assert reply == "550 5.7.1" and DUAL in reply.text
    assert envelope(gateway, GOOD_IPV6) == 250
    assert envelope(gateway) == 250
    assert state(gateway, DUAL, "IPv6")["trusted"] and state(gateway, DUAL, "IPv4")["trusted"]


def test_a_list_without_a_test_entry_for_ipv6_is_not_asked_about_ipv6_clients(make_gateway, nsd):
    gateway = make_gateway({IPV4: nsd})
    wait_state(gateway, IPV4, False, "test entry is not listed", kind="IPv6")
    assert envelope(gateway, LISTED_IPV6) == 250
    assert state(gateway, IPV4, "IPv6")["asked"] == 0
    assert envelope(gateway, LISTED) == "550 5.7.1"


def test_a_list_of_ipv6_that_lists_the_world_refuses_nobody(make_gateway, own_rbldnsd):
    own_rbldnsd.change(DUAL, "ip6trie", "2000::/3 :127.0.0.2:All of them\n")
    gateway = make_gateway({DUAL: own_rbldnsd})
    assert envelope(gateway, GOOD_IPV6) == 250
    wait_state(gateway, DUAL, False, "lists everything", kind="IPv6")


@pytest.mark.parametrize("rule, client, helo, sender", [
    ("PTR LISTED", NAMED, "mail.good.example", "news@good.example"),
    ("HELO LISTED", GOOD, "www.listed-below.example", "news@good.example"),
    ("SENDER LISTED", GOOD, "mail.good.example", "news@listed.example")])
def test_a_list_of_names_is_asked_about_ptr_helo_and_sender(rule, client, helo, sender, make_gateway, own_rbldnsd):
    own_rbldnsd.change(NAMES, "dnset", LISTS[NAMES][1] + "mail.named.example\n")
    gateway = make_gateway({NAMES: (own_rbldnsd, {"for": "ptr helo sender"})})
    assert envelope(gateway) == 250
    reply = envelope(gateway, client, helo, sender)
    assert reply == "550 5.7.1" and NAMES in reply.text
    assert gateway.wait_journal(id=reply.id)["rule"] == rule
    assert state(gateway, NAMES, "names")["trusted"]


def test_a_list_of_names_is_not_asked_where_there_is_no_name(make_gateway, rbldnsd):
    gateway = make_gateway({NAMES: (rbldnsd, {"for": "ptr helo sender"})})
    wait_state(gateway, NAMES, True, kind="names")
    assert envelope(gateway, OTHERS[0], f"[{OTHERS[0]}]", "") == 250
    assert state(gateway, NAMES, "names")["asked"] == 0


# ---- what lists say about a listing


def test_a_refusal_tells_what_each_list_says_about_the_client(make_gateway, nsd, own_rbldnsd):
    words = "Open relay, see https://turning.example/?a="
    own_rbldnsd.change(TURNING, "ip4trie", f":127.0.0.4:{words}$\n127.0.0.2\n{LISTED}\n")
    gateway = make_gateway({TURNING: own_rbldnsd, IPV4: nsd, TRUE: own_rbldnsd},
                           policy=POLICY.replace("dnsbl.hits >= 1", "dnsbl.hits >= 3", 1))
    said = f"{TURNING} ({words}{LISTED}), {IPV4}, {TRUE} (Listed, see the list)"
    with Client(gateway.address, first=proxy_v1(LISTED)) as session:
        session.ehlo("mail.good.example")
        for reply in (session.envelope("anna@example.com"), session.command("RCPT TO:<bert@example.com>")):
            assert reply.lines[0] == f"550 5.7.1 Refused by policy: LISTED; listed by {said} [{reply.id}]"
    assert said in gateway.wait_journal(id=reply.id)["reply"]["text"]
    assert said in gateway.command("explain", reply.id).stdout
    assert gateway.find_log(re.escape(said))


def test_what_a_list_says_is_cut_between_words_to_fit_into_a_reply(make_gateway, own_rbldnsd):
    long = " ".join(["Spam"] * 45)
    for zone, kind in ((TURNING, "ip4trie"), (TRUE, "ip4set"), (WELCOME, "ip4set")):
        own_rbldnsd.change(zone, kind, f":127.0.0.2:{long}\n127.0.0.2\n{LISTED}\n")
    gateway = make_gateway({TURNING: own_rbldnsd, TRUE: own_rbldnsd, WELCOME: own_rbldnsd},
                           policy=f'layer policy {{\n    reject "{"R" * 80}" when dnsbl.hits >= 3\n}}\n')
    reply = envelope(gateway, LISTED)
    assert len(reply.lines[0]) <= 510 and reply.id
    for zone in (TURNING, TRUE, WELCOME):
        assert re.search(rf"{zone} \((Spam )+Spam\.\.\.\)", reply.text)


def test_a_list_that_has_no_words_is_merely_named(make_gateway, nsd, rbldnsd):
    gateway = make_gateway({IPV4: nsd, TRUE: rbldnsd}, policy=POLICY.replace("dnsbl.hits >= 1", "dnsbl.hits >= 2", 1))
    reply = envelope(gateway, LISTED)
    assert reply.text.endswith(f"listed by {IPV4}, {TRUE} (Listed, see the list) [{reply.id}]")


def test_the_words_of_a_policy_may_hold_what_lists_say(make_gateway, rbldnsd):
    gateway = make_gateway({TRUE: rbldnsd}, policy='layer policy {\n    defer "L" when dnsbl.hits >= 1 '
                                                   'with 450 4.7.1 "Not now: {reason}"\n}\n')
    reply = envelope(gateway, LISTED)
    assert reply.lines[0] == f"450 4.7.1 Not now: {TRUE} (Listed, see the list) [{reply.id}]"


def test_postfix_is_told_what_the_lists_say_too(make_gateway, rbldnsd):
    port = free_port()
    make_gateway({TRUE: rbldnsd}, policy_listen=f"{LOOPBACK}:{port}")
    request = {"request": "smtpd_access_policy", "protocol_state": "RCPT", "protocol_name": "ESMTP",
               "client_address": LISTED, "client_name": "unknown", "reverse_client_name": "unknown",
               "helo_name": "mail.good.example", "sender": "news@good.example", "recipient": "anna@example.com"}
    with socket.create_connection((LOOPBACK, port), timeout=10) as postfix:
        postfix.sendall("".join(f"{name}={value}\n" for name, value in request.items()).encode() + b"\n")
        answer = postfix.recv(4096).decode()
    said = re.escape(f"Refused by policy: LISTED; listed by {TRUE} (Listed, see the list)")
    assert re.fullmatch(rf"action=550 5\.7\.1 {said} \[[0-9a-v.]+\]\n\n", answer), answer


# ---- journal, explain, report


def test_the_codes_of_each_list_are_journalled_explained_and_counted(make_gateway, own_rbldnsd):
    own_rbldnsd.change(TURNING, "ip4trie", f"127.0.0.2 :127.0.0.2:T\n{LISTED} :127.0.0.9:Bad\n")
    gateway = make_gateway({TURNING: own_rbldnsd, TRUE: own_rbldnsd, NAMES: (own_rbldnsd, {"for": "helo sender"})},
                           policy=POLICY.replace("dnsbl.hits >= 1", "dnsbl.hits >= 2", 1))
    refused = [envelope(gateway, LISTED), envelope(gateway, sender="news@listed.example")]
    envelope(gateway)
    records = [gateway.wait_journal(id=reply.id) for reply in refused]
    assert records[0]["dnsbl"] == {TURNING: ["127.0.0.9"], TRUE: ["127.0.0.2"]}
    assert records[1]["sender.dnsbl"] == {NAMES: ["127.0.0.2"]} and "dnsbl" not in records[1]
    assert [record["listed_by"] for record in records] == [[TURNING, TRUE], [NAMES]]
    assert "listed_by" not in gateway.wait_journal(client=GOOD, action="pass")
    told = gateway.command("explain", refused[0].id).stdout
    assert re.search(rf"^listed by\n +dnsbl +{TURNING} +127.0.0.9\n +dnsbl +{TRUE} +127.0.0.2$", told, re.M), told
    told = json.loads(gateway.command("explain", refused[1].id, "--json").stdout)
    assert told["listings"] == [{"about": "sender.dnsbl", "zone": NAMES, "codes": ["127.0.0.2"]}]


def test_the_report_of_lists_counts_what_each_list_held_and_what_was_refused_upon_it(make_gateway, own_rbldnsd):
    own_rbldnsd.change(TURNING, "ip4trie", f"127.0.0.2 :127.0.0.2:T\n{LISTED} :127.0.0.9:Bad\n")
    policy = f'layer policy {{\n    reject "SENDER TOO" when sender.dnsbl.hits >= 1 and dnsbl.listed({TRUE})\n' \
             f'    reject "BOTH" when dnsbl.hits >= 2\n    pass "ONE" when dnsbl.listed({TRUE})\n}}\n'
    gateway = make_gateway({TURNING: own_rbldnsd, TRUE: own_rbldnsd, NAMES: (own_rbldnsd, {"for": "helo sender"})},
                           policy=policy)
    assert [envelope(gateway, LISTED).code for _ in range(2)] == [550, 550]
    for client in ATTACKERS[:3]:
        assert envelope(gateway, client) == 250
    last = envelope(gateway, ATTACKERS[0], sender="news@listed.example")
    assert last == 550
    gateway.wait_journal(id=last.id)
    lists = {one.pop("zone"): one for one in json.loads(gateway.command("report", "lists", "--json").stdout)["lists"]}
    assert lists == {
        TURNING: {"clients": 1, "recipients": 2, "alone": 0, "with_others": 2, "refused": 2,
                  "codes": {"127.0.0.9": 2}},
        TRUE: {"clients": 4, "recipients": 6, "alone": 3, "with_others": 3, "refused": 3, "codes": {"127.0.0.2": 6}},
        NAMES: {"clients": 1, "recipients": 1, "alone": 0, "with_others": 1, "refused": 1,
                "codes": {"127.0.0.2": 1}}}
    lines = gateway.command("report", "lists").stdout.splitlines()
    assert [line.split()[:6] for line in lines[1:]] == [
        ["1", "1", "0", "1", "1", f"{NAMES}:"], ["1", "2", "0", "2", "2", f"{TURNING}:"],
        ["4", "6", "3", "3", "3", f"{TRUE}:"]]
    assert not json.loads(gateway.command("report", "lists", "--since", "2099-01-01", "--json").stdout)["lists"]


def test_explain_asks_the_lists_that_stand_their_probes_and_says_how_each_stands(make_gateway, own_rbldnsd):
    gateway = make_gateway({TRUE: own_rbldnsd, WORLD: own_rbldnsd}, start=False)
    told = gateway.command("explain", "--client", LISTED, "--helo", "mail.good.example", "--dns").stdout
    assert re.search(r'^verdict +reject "LISTED" \(layer policy\)', told, re.M), told
    assert re.search(rf"^listed by\n +dnsbl +{TRUE} +127.0.0.2$", told, re.M), told
    assert "block lists, probed just now" in told
    assert re.search(rf"^ +{TRUE} +IPv4 +trusted$", told, re.M)
    assert re.search(rf"^ +{WORLD} +IPv4 +not trusted: lists everything$", told, re.M)
    told = json.loads(gateway.command("explain", "--client", GOOD, "--helo", "mail.good.example", "--from",
                                      "news@good.example", "--dns", "--json").stdout)
    assert told["verdict"]["action"] == "pass" and "listings" not in told
    assert {"zone": WORLD, "kind": "IPv4", "trusted": False, "why": "lists everything"} in told["block_lists"]


def test_explain_asks_no_list_that_cannot_matter(make_gateway, own_rbldnsd):
    policy = 'layer policy {\n    reject "NAME" when helo.unqualified\n    reject "LISTED" when dnsbl.hits >= 1\n}\n'
    gateway = make_gateway({TRUE: own_rbldnsd}, policy=policy, start=False)
    told = gateway.command("explain", "--client", LISTED, "--helo", "laptop", "--dns").stdout
    assert 'reject "NAME"' in told and "probed" not in told
    assert own_rbldnsd.questions("127.0.0.2") == own_rbldnsd.questions(LISTED) == []


# ---- keys


def test_the_key_of_a_list_is_in_no_output(make_gateway, rbldnsd):
    gateway = make_gateway({KEYED: (rbldnsd, {"key": KEY}), TRUE: (rbldnsd, {"key": KEY})}, log={"level": "debug"})
    wait_state(gateway, TRUE, False)  # nobody serves it with that key
    reply = envelope(gateway, LISTED)
    assert reply == "550 5.7.1" and f"{KEYED} (Listed, see http://{KEYED}/?{LISTED})" in reply.text
    gateway.wait_journal(id=reply.id)
    imagined = ("--client", LISTED, "--helo", "mail.good.example", "--from", "news@good.example", "--dns")
    outputs = [gateway.command(*words).stdout for words in (
        ("status",), ("status", "--json"), ("check",), ("check", "--dump"), ("explain", reply.id),
        ("explain", reply.id, "--json"), ("explain", *imagined), ("explain", *imagined, "--json"),
        ("report", "policy"))]
    outputs += [reply.text, gateway.log(), str(gateway.journal())]
    for output in outputs:
        assert KEY not in output
    assert KEYED in outputs[0] and KEYED in outputs[3]
