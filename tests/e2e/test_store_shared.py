"""Two gateways that share their greylist in a real PostgreSQL: stopped, started, replaced by an empty one."""
import itertools
import os

import pytest

from lib.postgres import Postgres
from lib.wait import eventually

numbers = itertools.count()


def new_sender():
    return f"s{next(numbers)}@example.net"


@pytest.fixture
def two(make_host, shared_server):
    """Two hosts with one list, both connected to it."""
    first, second = make_host("first"), make_host("second")
    done = first.gateway.command("store", "init")
    assert done.returncode == 0, done.stdout
    return first.start(), second.start()


def test_what_one_host_has_seen_the_other_knows_at_once(two):
    for first, second in (two, reversed(two)):
        sender = new_sender()
        assert first.status(sender) == "new"
        assert second.status(sender) == "early"


def test_the_server_goes_and_comes_back(two, shared_server):
    first, second = two
    known, meanwhile = new_sender(), new_sender()
    assert first.status(known) == "new"
    shared_server.stop()
    assert first.status(known) == "early"
    assert second.status(new_sender()) == "new"
    for host in two:
        host.wait_shared("down")
    assert "the shared store is away" in first.gateway.command("status", "--check").stdout
    assert first.status(meanwhile) == "new"
    shared_server.start()
    for host in two:
        host.wait_shared("up")
    eventually(lambda: first.store()["pending"] == 0, "what was learned is handed in", 20)
    assert second.status(meanwhile) == "early"
    assert second.status(known) == "early"


def test_an_empty_server_in_its_place_loses_nothing(two, shared_server, folder):
    first, second = two
    senders = [new_sender() for _ in range(5)]
    for sender in senders:
        assert first.status(sender) == "new"
    shared_server.stop()
    for host in two:
        host.status(new_sender())
        host.wait_shared("down")
    other = Postgres(os.path.join(folder, "other"), port=shared_server.port).start()
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


def test_a_server_that_is_away_delays_no_start(make_host, shared_server):
    shared_server.stop()
    host = make_host("alone")
    host.gateway.start()
    eventually(lambda: host.store() and host.store()["state"] == "ready", "the store is ready")
    assert host.status(new_sender()) == "new"
    assert host.store()["shared"] == "down"


def test_another_key_drops_what_a_host_had_learned_alone(make_host, shared_server):
    first, second = make_host("first"), make_host("second")
    assert first.gateway.command("store", "init").returncode == 0
    shared_server.stop()
    second.gateway.start()
    sender = new_sender()
    eventually(lambda: second.store() and second.store()["state"] == "ready", "the store is ready")
    assert second.status(sender) == "new"
    shared_server.start()
    second.wait_shared("up")
    second.gateway.wait_log(r"hash key of the shared store was taken over: 1 rows")
    assert second.status(sender) == "new"
    second.gateway.reload()
    assert len(second.gateway.find_all_log("was taken over")) == 1
