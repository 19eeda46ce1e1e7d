"""Before the greeting, with real processes and real time: who waits, who is an early talker, who is remembered, and for
how long. Times are compared with the delay, never slept through."""
import os
import time

import pytest

from lib.client import Client
from lib.wait import eventually

DELAY_S = 1.5
POLICY = """\
layer connection {
    reject "EARLY TALKER" when client.early_talker with 554 5.5.0 "Talked before the greeting"
    defer "GUESSES" when client.rate(unknown, 10m) > 2 with 450 4.7.1 "Too many unknown recipients, come again later"
}
"""


@pytest.fixture
def gateway(make_postern, make_server, folder):
    path = os.path.join(folder, "policy")
    with open(path, "w", encoding="utf-8") as file:
        file.write(POLICY)
    return make_postern([make_server()], policy=path, greeting_delay=f"{int(DELAY_S * 1000)}ms", dns={"use": "off"})


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
