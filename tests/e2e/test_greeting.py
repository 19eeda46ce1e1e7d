"""Before the greeting, with real processes and real time: who waits, who is an early talker, who is remembered, and for
how long. Times are compared with the delay, never slept through."""
import os
import re
import subprocess
import time

import pytest

from lib.client import Client
from lib.wait import eventually

DELAY_S = 1.5
BANNED = "127.0.3.66"
POLICY = """\
layer connection {
    reject "BANNED IP" when client in banned
    reject "EARLY TALKER" when client.early_talker with 554 5.5.0 "Talked before the greeting"
    defer "GUESSES" when client.rate(unknown, 10m) > 2 with 450 4.7.1 "Too many unknown recipients, come again later"
}
"""


@pytest.fixture
def make_gateway(make_postern, make_server, folder):
    def make(**options):
        path = os.path.join(folder, "policy")
        with open(path, "w", encoding="utf-8") as file:
            file.write(POLICY)
        return make_postern([make_server()], policy=path, greeting_delay=f"{int(DELAY_S * 1000)}ms",
                            table=[("banned cidr", {"entries": BANNED})], dns={"use": "off"}, **options)
    return make


@pytest.fixture
def gateway(make_gateway):
    return make_gateway()


@pytest.fixture
def strict(make_gateway):
    """Turns clients away instead of greeting them."""
    return make_gateway(refuse="at connect")


def waited_s(gateway, source):
    began = time.monotonic()
    with Client(gateway.address, source=source) as client:
        assert client.greeting == 220
        return time.monotonic() - began


def deliver_to(gateway, source, recipient):
    with Client(gateway.address, source=source) as client:
        client.ehlo()
        return client.envelope(recipient)


def test_who_passed_is_greeted_at_once_across_a_reload_and_the_death_of_workers(gateway):
    known, stranger = "127.0.3.1", "127.0.3.2"
    assert waited_s(gateway, known) >= DELAY_S
    assert deliver_to(gateway, known, "anna@example.com") == 250
    assert waited_s(gateway, known) < DELAY_S
    gateway.configure(smtputf8="no")
    gateway.reload()
    assert waited_s(gateway, known) < DELAY_S
    for pid in gateway.worker_pids():
        gateway.kill_worker(pid)
    assert waited_s(gateway, known) < DELAY_S
    assert waited_s(gateway, stranger) >= DELAY_S


def test_who_talks_instead_of_waiting_is_refused_as_the_policy_says(gateway):
    began = time.monotonic()
    with Client(gateway.address, greeted=False) as client:
        reply = client.ehlo()
        assert reply == 220 and time.monotonic() - began < DELAY_S
        assert client.reply() == 250
        assert client.envelope("anna@example.com") == "554 5.5.0"
    assert gateway.total("early_talkers") == 1
    assert waited_s(gateway, "127.0.0.1") >= DELAY_S


def test_who_leaves_instead_of_waiting_is_counted(gateway):
    Client(gateway.address, greeted=False).close()
    eventually(lambda: gateway.total("left_early") == 1, "a client left early")
    assert gateway.wait_log(r"lost connection after CONNECT from unknown\[127\.0\.0\.1\]")


def test_many_who_wait_hold_up_nobody_who_is_known(gateway):
    known = "127.0.3.1"
    assert deliver_to(gateway, known, "anna@example.com") == 250
    waiting = [Client(gateway.address, source=f"127.0.4.{number}", greeted=False) for number in range(1, 101)]
    assert waited_s(gateway, known) < DELAY_S
    for client in waiting:
        assert client.reply() == 220
        client.close()


def test_guesses_are_counted_over_all_connections_of_a_client_and_begin_anew_with_a_reload(gateway):
    guesser, other = "127.0.3.1", "127.0.3.2"
    for number in range(3):
        assert deliver_to(gateway, guesser, f"nobody{number}@example.com") == "550 5.1.1"
    assert deliver_to(gateway, guesser, "anna@example.com") == "450 4.7.1"
    assert deliver_to(gateway, other, "anna@example.com") == 250
    gateway.configure(smtputf8="no")
    gateway.reload()
    assert deliver_to(gateway, guesser, "anna@example.com") == 250


# ---- real senders, and who is turned away


def start(*command):
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def start_swaks(gateway, source):
    return start("swaks", "--server", gateway.address[0], "--port", str(gateway.port), "--local-interface", source,
                 "--helo", "client.example.net", "--from", "swaks@client.example.net", "--to", "anna@example.com",
                 "--header", "Subject: swaks")


def start_curl(gateway, source, folder):
    path = os.path.join(folder, "message")
    with open(path, "wb") as file:
        file.write(b"From: curl@client.example.net\r\nSubject: curl\r\n\r\nHello.\r\n")
    return start("curl", "-sSv", f"smtp://{gateway.address[0]}:{gateway.port}/client.example.net",
                 "--interface", source, "--mail-from", "curl@client.example.net", "--mail-rcpt", "anna@example.com",
                 "-T", path)


def outcome(process):
    """(exit code, output)."""
    output, _ = process.communicate(timeout=60)
    return process.returncode, output.decode("utf-8", "replace")


def assert_turned_away(gateway, reply, rule):
    """The journal, `explain` and the report's count name the rule of a client that named no recipient."""
    record = gateway.wait_journal(id=reply.id)
    assert (record["layer"], record["rule"]) == ("connection", rule)
    assert record["reply"]["code"] == reply.code and "rcpt" not in record and "helo" not in record
    told = gateway.command("explain", reply.id).stdout
    decided = rf'{record["action"]} "{rule}" \(layer connection\)'
    assert re.search(rf"^recorded +{decided}: {reply.code} {reply.enhanced} ", told, re.M), told
    assert re.search(rf"^verdict +{decided}, ", told, re.M), told
    return record


@pytest.mark.parametrize("refuse", ["at rcpt", "at connect"])
def test_swaks_and_curl_wait_and_deliver_beside_a_client_that_does_not_wait(refuse, make_gateway, folder):
    gateway = make_gateway(refuse=refuse)
    sources = ("127.0.3.5", "127.0.3.6")
    began = time.monotonic()
    senders = [start_swaks(gateway, sources[0]), start_curl(gateway, sources[1], folder)]
    with Client(gateway.address, greeted=False) as talker:
        reply = talker.ehlo()
        if refuse == "at connect":
            assert reply == "554 5.5.0" and talker.reply() == 503
        else:
            assert reply == 220 and talker.reply() == 250
            reply = talker.envelope("anna@example.com")
            assert reply == "554 5.5.0"
    for sender in senders:
        code, output = outcome(sender)
        assert code == 0 and time.monotonic() - began >= DELAY_S, output
    assert [waited_s(gateway, source) < DELAY_S for source in sources] == [True, True]
    assert gateway.total("early_talkers") == 1 and gateway.total("messages") == 2
    assert gateway.total("turned_away") == (1 if refuse == "at connect" else 0)
    assert gateway.wait_journal(id=reply.id)["early_talker"] is True


def test_swaks_and_curl_from_a_banned_address_are_told_so_instead_of_waiting(strict, folder):
    for sender in (start_swaks(strict, BANNED), start_curl(strict, BANNED, folder)):
        code, output = outcome(sender)
        assert code != 0 and "554 5.7.1 Refused by policy: BANNED IP" in output, output
        assert "EHLO" not in output
    assert strict.total("turned_away") == 2


def test_who_is_turned_away_is_journalled_explained_and_counted_by_the_rule(strict):
    for _ in range(2):
        with Client(strict.address, source=BANNED) as banned:
            assert banned.greeting == "554 5.7.1"
    assert_turned_away(strict, banned.greeting, "BANNED IP")
    with Client(strict.address, greeted=False) as talker:
        reply = talker.ehlo()
    assert reply == "554 5.5.0"
    assert assert_turned_away(strict, reply, "EARLY TALKER")["early_talker"] is True
    guesser = "127.0.3.1"
    for number in range(3):
        assert deliver_to(strict, guesser, f"nobody{number}@example.com") == "550 5.1.1"
    with Client(strict.address, source=guesser) as deferred:
        assert deferred.greeting == "421 4.7.1" and deferred.is_closed()
    assert_turned_away(strict, deferred.greeting, "GUESSES")
    assert strict.command("report", "policy").stdout == "1 EARLY TALKER\n1 GUESSES\n2 BANNED IP\n"
    assert strict.total("turned_away") == 4
