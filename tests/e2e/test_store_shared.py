"""Two gateways that share their greylist in a real PostgreSQL: stopped, started, replaced by an empty one."""
import itertools
import os

import pytest

from lib.client import Client
from lib.postern import ROOT
from lib.postgres import Postgres, program
from lib.wait import eventually

RULES = 'layer greylist {\n    greylist "ALL" when not rcpt.postmaster\n}\n'
MODULE = os.path.join(ROOT, "build", "src", "store", "postgres.so")
numbers = itertools.count()


def new_sender():
    return f"s{next(numbers)}@example.net"


class Host:
    """A gateway, by what its greylist says."""

    def __init__(self, gateway):
        self.gateway = gateway

    def decisions(self, sender):
        return [record for record in self.gateway.journal() if record.get("sender") == sender]

    def status(self, sender):
        """Asks once; the greylist's status, as the journal has it."""
        before = len(self.decisions(sender))
        with Client(self.gateway.address) as client:
            client.ehlo()
            client.command(f"MAIL FROM:<{sender}>")
            client.command("RCPT TO:<anna@example.com>")
        return eventually(lambda: self.decisions(sender)[before:], f"a record about {sender}")[-1].get("greylist")

    def store(self):
        return self.gateway.status()["store"]

    def wait_shared(self, state):
        eventually(lambda: self.store()["shared"] == state, f"the shared store is {state}", 40)


@pytest.fixture
def server(folder):
    assert program("postgres"), "PostgreSQL is not installed (scripts/bootstrap check)"
    server = Postgres(os.path.join(folder, "postgres")).start()
    yield server
    server.stop()


@pytest.fixture
def make_host(folder, make_server, make_postern):
    rules = os.path.join(folder, "policy")
    with open(rules, "w", encoding="utf-8") as file:
        file.write(RULES)

    def make(name, server, delay="1h"):
        path = os.path.join(folder, name, "greylist.db")
        return Host(make_postern([make_server()], policy=rules, dns={"use": "off"}, workers=1,
                                 greylist={"delay": delay}, start=False,
                                 store={"path": path, "postgresql": f'"{server.conninfo()}"', "module": MODULE}))
    return make


@pytest.fixture
def two(make_host, server):
    """Two hosts with one list, both connected to it."""
    first, second = make_host("first", server), make_host("second", server)
    done = first.gateway.command("store", "init")
    assert done.returncode == 0, done.stdout
    for host in (first, second):
        host.gateway.start()
        host.wait_shared("up")
    return first, second


def test_what_one_host_has_seen_the_other_knows_at_once(two):
    for first, second in (two, reversed(two)):
        sender = new_sender()
        assert first.status(sender) == "new"
        assert second.status(sender) == "early"


def test_the_server_goes_and_comes_back(two, server):
    first, second = two
    known, meanwhile = new_sender(), new_sender()
    assert first.status(known) == "new"
    server.stop()
    assert first.status(known) == "early"
    assert second.status(new_sender()) == "new"
    for host in two:
        host.wait_shared("down")
    assert "the shared store is away" in first.gateway.command("status", "--check").stdout
    assert first.status(meanwhile) == "new"
    server.start()
    for host in two:
        host.wait_shared("up")
    eventually(lambda: first.store()["pending"] == 0, "what was learned is handed in", 20)
    assert second.status(meanwhile) == "early"
    assert second.status(known) == "early"


def test_an_empty_server_in_its_place_loses_nothing(two, server, folder):
    first, second = two
    senders = [new_sender() for _ in range(5)]
    for sender in senders:
        assert first.status(sender) == "new"
    server.stop()
    for host in two:
        host.status(new_sender())
        host.wait_shared("down")
    other = Postgres(os.path.join(folder, "other"), port=server.port).start()
    try:
        done = first.gateway.command("store", "init")
        assert done.returncode == 0, done.stdout
        for host in two:
            host.wait_shared("up")
        for sender in senders:
            assert first.status(sender) == "early"
            assert second.status(sender) == "early"  # first has brought it back
    finally:
        other.stop()


def test_a_server_that_is_away_delays_no_start(make_host, server):
    server.stop()
    host = make_host("alone", server)
    host.gateway.start()
    eventually(lambda: host.store() and host.store()["state"] == "ready", "the store is ready")
    assert host.status(new_sender()) == "new"
    assert host.store()["shared"] == "down"


def test_another_key_drops_what_a_host_had_learned_alone(make_host, server):
    first, second = make_host("first", server), make_host("second", server)
    assert first.gateway.command("store", "init").returncode == 0
    server.stop()
    second.gateway.start()
    sender = new_sender()
    eventually(lambda: second.store() and second.store()["state"] == "ready", "the store is ready")
    assert second.status(sender) == "new"
    server.start()
    second.wait_shared("up")
    second.gateway.wait_log(r"hash key of the shared store was taken over: 1 rows")
    assert second.status(sender) == "new"
    second.gateway.reload()
    assert len(second.gateway.find_all_log("was taken over")) == 1
