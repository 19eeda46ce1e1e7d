"""Hosts whose clocks are 10 minutes apart share a greylist: who waits, waits his delay, whichever host is asked; nobody
known is forgotten, and nobody is new twice."""
import itertools
import time

import pytest

from lib.host import clock
from lib.wait import eventually

APART_S = 600
DELAY_S = 4
CLIENT = "127.0.0.1"
numbers = itertools.count()


def new_sender():
    return f"s{next(numbers)}@example.net"


@pytest.fixture
def make_hosts(make_host):
    """Hosts that have met the shared store, by how far each one's clock is ahead."""
    def make(*ahead, **options):
        hosts = [make_host(f"host{i}", environment=clock(s) if s else None, **options) for i, s in enumerate(ahead)]
        assert hosts[0].gateway.command("store", "init").returncode == 0
        return [host.start() for host in hosts]
    return make


def test_each_pair_of_hosts_makes_a_triplet_wait_its_delay_and_knows_it_afterwards(make_hosts):
    hosts = make_hosts(0, APART_S, -APART_S, delay=f"{DELAY_S}s")
    hosts[1].gateway.wait_log(r"this host's clock is (599|600|601) s ahead of that of the shared store")
    hosts[2].gateway.wait_log(r"this host's clock is (599|600|601) s behind that of the shared store")
    assert not hosts[0].gateway.find_log("this host's clock")
    tries = [(first, second, new_sender()) for first, second in itertools.permutations(hosts, 2)]
    began = {}
    for first, second, sender in tries:
        began[sender] = time.monotonic()
        assert first.status(sender) == "new"
        assert second.status(sender) == "early" or time.monotonic() - began[sender] >= DELAY_S - 1
    for first, second, sender in tries:
        seen = []
        eventually(lambda: seen.append(second.status(sender)) or seen[-1] not in ("new", "early"), "the delay is over")
        waited = time.monotonic() - began[sender]
        assert set(seen[:-1]) <= {"early"} and seen[-1] in ("retry", "cached"), seen
        assert waited >= DELAY_S - 1  # whole seconds are counted
        record = second.decide(sender)
        assert record["greylist"] == "cached"
        assert all(host.status(sender) == "cached" for host in hosts)
        told = [record for record in second.decisions(sender) if record["greylist"] == "retry"]
        assert all(record["greylist_waited_s"] <= waited + 2 for record in told)


def test_seconds_left_are_never_more_than_the_delay(make_hosts):
    hosts = make_hosts(0, APART_S, -APART_S, delay="1h")
    for first, second in itertools.permutations(hosts, 2):
        sender = new_sender()
        assert first.seconds_left(sender) == 3600
        assert 3600 - 60 < second.seconds_left(sender) <= 3600


def test_a_first_attempt_in_the_future_counts_as_now(make_hosts, shared_server):
    """Written by a host whose clock went wrong while the server, whose time would count, was away."""
    wrong, right = make_hosts(0, 0, delay=f"{DELAY_S}s")
    wrong.gateway.stop()
    shared_server.stop()
    right.wait_shared("down")
    wrong.gateway.environment = clock(APART_S)
    wrong.start("down")
    sender = new_sender()
    assert wrong.status(sender) == "new"
    shared_server.start()
    for host in (wrong, right):
        host.wait_shared("up")
    eventually(lambda: shared_server.sql("SELECT count(*) FROM grey") != [["0"]], "it is handed in")
    first = int(shared_server.sql("SELECT min(first) FROM grey")[0][0])
    assert first > time.time() + APART_S / 2
    began = time.monotonic()
    assert right.seconds_left(sender) <= DELAY_S
    seen = []
    eventually(lambda: seen.append(right.status(sender)) or seen[-1] not in ("new", "early"), "the delay is over")
    assert set(seen[:-1]) <= {"early"} and seen[-1] == "retry", seen
    assert time.monotonic() - began >= DELAY_S - 1
    assert wrong.status(sender) == "cached"


@pytest.mark.parametrize("commander", [0, 1, 2])
def test_who_is_forgotten_at_any_host_waits_just_his_delay_again(make_hosts, commander):
    hosts = make_hosts(0, APART_S, -APART_S, delay="2s")
    sender = new_sender()
    assert hosts[0].status(sender) == "new"
    eventually(lambda: hosts[0].status(sender) == "retry", "the delay is over")
    hosts[commander].greylist("forget", "--client", CLIENT)
    eventually(lambda: hosts[0].status(sender) == "new", "it is heard")
    assert hosts[2].status(sender) in ("early", "retry")
    eventually(lambda: hosts[1].status(sender) in ("retry", "cached"), "the delay is over")
    hosts[commander].greylist("allow", CLIENT)
    for host in hosts:
        eventually(lambda: host.status(new_sender()) == "whitelisted", "that is heard too")
