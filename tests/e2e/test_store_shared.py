"""Two gateways that share their greylist in a real PostgreSQL: stopped, started, replaced by an empty one; and what
`postern greylist` changes at one of them."""
import itertools
import json
import os

import pytest

from lib.postgres import Postgres
from lib.wait import eventually

CLIENT = "127.0.0.1"
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


# ---- commands

@pytest.fixture
def two_quick(make_host):
    """The same, and who is new waits a second."""
    first, second = make_host("first", delay="1s"), make_host("second", delay="1s")
    assert first.gateway.command("store", "init").returncode == 0
    return first.start(), second.start()


def passed(host):
    """A sender that has waited there, and is known."""
    sender = new_sender()
    assert host.status(sender) == "new"
    eventually(lambda: host.status(sender) == "retry", "the delay is over")
    return sender


def test_who_is_allowed_at_one_host_is_so_at_the_other_until_one_of_them_forgets(two):
    first, second = two
    assert second.status(new_sender()) == "new"
    first.greylist("allow", CLIENT)
    assert first.status(new_sender()) == "whitelisted"
    eventually(lambda: second.status(new_sender()) == "whitelisted", "it is heard")
    second.greylist("forget", "--client", CLIENT)
    assert second.status(new_sender()) == "new"
    eventually(lambda: first.status(new_sender()) == "new", "it is heard")


def test_what_one_host_forgets_the_other_forgets_though_they_know_different_names(two_quick):
    first, second = two_quick
    one, other = passed(first), passed(first)
    assert second.greylist("forget", "--sender", one) == "0 forgotten\n"  # it has not met it
    eventually(lambda: first.greylist("list", "--sender", one), "names are written behind")
    first.greylist("forget", "--sender", one)
    assert first.status(one) == "new"
    assert second.status(one) in ("early", "retry")
    assert second.status(other) == "cached"
    second.greylist("forget", "--client", CLIENT)
    eventually(lambda: first.status(other) == "new", "it is heard")


def test_what_is_changed_while_the_server_is_away_is_heard_when_it_is_back(two_quick, shared_server):
    first, second = two_quick
    sender = passed(first)
    assert second.status(sender) == "cached"
    shared_server.stop()
    for host in (first, second):
        host.wait_shared("down")
    first.greylist("forget", "--client", CLIENT)
    assert first.status(sender) == "new"
    assert second.status(sender) == "cached"
    shared_server.start()
    for host in (first, second):
        host.wait_shared("up")
    eventually(lambda: second.status(sender) != "cached", "it is heard")


def test_what_is_changed_while_no_service_runs_is_heard_after_its_start(two_quick):
    first, second = two_quick
    sender = passed(first)
    first.gateway.stop()
    first.greylist("forget", "--client", CLIENT)
    assert second.status(sender) == "cached"
    first.start()
    eventually(lambda: second.status(sender) == "new", "it is heard")


# ---- explain

def explain(host, sender, *options):
    done = host.gateway.command("explain", "--client", CLIENT, "--helo", "client.example.net", "--from", sender,
                                "--to", "anna@example.com", *options)
    assert done.returncode == 0, done.stdout
    return done.stdout


def today(host, sender):
    """What the greylist would say now, as `postern explain` tells."""
    return json.loads(explain(host, sender, "--json"))["greylist"]["today"]


def test_explain_knows_what_another_host_has_seen_and_records_nothing(two, shared_server):
    first, second = two
    sender, never = new_sender(), new_sender()
    assert today(second, sender) == {"status": "new", "seconds_left": 3600, "shared_store": True}
    assert first.status(sender) == "new"
    for host in two:
        told = today(host, sender)
        assert told["status"] == "early" and 0 < told["seconds_left"] <= 3600 and told["shared_store"]
    assert "(this host's file, and the shared store)\n" in explain(second, sender)
    shared_server.stop()
    assert today(first, sender)["status"] == "early"
    told = today(second, sender)
    assert told["status"] == "new" and not told["shared_store"] and "Connection refused" in told["problem"]
    assert "  today      new, 3600 s to wait (this host's file; not the shared store: " in explain(second, never)
    assert first.greylist("list", "--sender", never) == ""
