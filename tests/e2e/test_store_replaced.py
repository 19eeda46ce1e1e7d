"""PostgreSQL replaced by another one while mail comes in at two gateways that share it. Whom a host has met it knows
throughout, and once both are connected again each knows what the other has met, whatever the new server had."""
import itertools
import os
import threading

import pytest

from lib.client import Client
from lib.postgres import Postgres
from lib.wait import eventually

BEFORE, OUTAGE, AFTER = range(3)
MANY = 40


class Traffic(threading.Thread):
    """New senders at the two hosts in turn, until stopped. Half of them come to the other host at once, the others not
    before the end; and behind each comes an older one to the host that it came to first. `asks` is what was asked, in
    order: sender, number of the host, and in which phase (an OUTAGE if it began or ended there)."""

    def __init__(self, hosts):
        super().__init__(daemon=True)
        self.hosts, self.phase, self.is_over, self.asks, self.trouble = hosts, BEFORE, threading.Event(), [], None

    def ask(self, sender, host):
        began = self.phase
        with Client(self.hosts[host].gateway.address) as client:
            client.ehlo()
            client.command(f"MAIL FROM:<{sender}>")
            assert client.command("RCPT TO:<anna@example.com>") == 451
        self.asks.append((sender, host, began if began == self.phase else OUTAGE))

    def run(self):
        try:
            for number in itertools.count():
                if self.is_over.is_set():
                    return
                self.ask(f"s{number}@example.net", number % 2)
                if number % 4 < 2:
                    self.ask(f"s{number}@example.net", (number + 1) % 2)
                older = number * 7 // 10
                self.ask(f"s{older}@example.net", older % 2)
        except Exception as trouble:  # pylint: disable=broad-exception-caught
            self.trouble = trouble

    def go_on(self, phase, n=MANY):
        """Another phase begins; returns when there was some traffic in it."""
        self.phase = phase
        before = len(self.asks)
        eventually(lambda: self.trouble or len(self.asks) >= before + n, "there is traffic", 60)

    def end(self):
        self.is_over.set()
        self.join()
        assert self.trouble is None, self.trouble
        self.phase = AFTER

    def statuses(self):
        """(sender, host, phase, the greylist's status), in order: each host decided in the order it was asked."""
        found = []
        for host in range(len(self.hosts)):
            number = sum(1 for _, at, _ in self.asks if at == host)
            found.append(eventually(lambda h=host, n=number: self.by_sender(h, n), "the journal is written"))
        return [(sender, host, phase, found[host][sender].pop(0)) for sender, host, phase in self.asks]

    def by_sender(self, host, n):
        records = [record for record in self.hosts[host].gateway.journal() if "sender" in record]
        if len(records) < n:
            return None
        assert len(records) == n
        by_sender = {}
        for record in records:
            by_sender.setdefault(record["sender"], []).append(record["greylist"])
        return by_sender


@pytest.fixture
def traffic(make_host):
    patient = {"timeout": "15s"}  # a busy machine is no outage
    hosts = [make_host(name, store=patient) for name in ("first", "second")]
    done = hosts[0].gateway.command("store", "init")
    assert done.returncode == 0, done.stdout
    for host in hosts:
        host.start()
    thread = Traffic(hosts)
    yield thread
    thread.is_over.set()
    if thread.is_alive():
        thread.join()


def replace(traffic, old, new):
    """There is traffic, `new` comes to where `old` was, and both hosts find it."""
    try:
        traffic.start()
        traffic.go_on(BEFORE)
        traffic.phase = OUTAGE
        old.stop()
        traffic.go_on(OUTAGE)
        for host in traffic.hosts:
            host.wait_shared("down")
        new.move(old.port)
        new.start()
        for host in traffic.hosts:
            host.wait_shared("up")
            host.gateway.wait_log("the shared store is another one than before: it has got all ")
        traffic.go_on(AFTER)
        traffic.end()
        for sender in dict.fromkeys(sender for sender, _, phase in traffic.asks[:-1] if phase < AFTER):
            for host in range(2):
                traffic.ask(sender, host)
    finally:
        new.stop()


def assert_nobody_is_forgotten(traffic):
    known = [set(), set()]  # to each host by itself
    everywhere = set()      # when the outage is over
    counts = [0, 0, 0]
    for sender, host, phase, status in traffic.statuses():
        counts[phase] += 1
        is_known = sender in known[host] or (phase != OUTAGE and sender in everywhere)
        assert status == "early" or (status == "new" and not is_known), (sender, host, phase, status)
        known[host].add(sender)
        everywhere.add(sender)
    assert min(counts) >= MANY, counts


def test_an_empty_one_with_the_same_schema(traffic, shared_server, folder):
    other = Postgres(os.path.join(folder, "other")).start()
    done = traffic.hosts[0].gateway.command("store", "--connect", other.conninfo(), "init")
    assert done.returncode == 0, done.stdout
    other.stop()
    replace(traffic, shared_server, other)
    assert_nobody_is_forgotten(traffic)


def test_a_backup_that_lacks_what_came_later(traffic, shared_server, folder):
    """As a replica does that was behind when it was promoted."""
    for number in range(10):
        traffic.ask(f"old{number}@example.net", number % 2)
    shared_server.stop()
    backup = shared_server.back_up(os.path.join(folder, "backup"))
    for host in traffic.hosts:
        host.wait_shared("down")
    shared_server.start()
    for host in traffic.hosts:
        host.wait_shared("up")
    replace(traffic, shared_server, Postgres(os.path.join(folder, "other"), backup=backup))
    assert_nobody_is_forgotten(traffic)
