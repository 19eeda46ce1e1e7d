"""Thousands of clients that stand still, and good clients whose mail goes through all the time."""
import os
import socket

import pytest

from lib.client import Client, message
from lib.deliver import send, subjects
from lib.load import AFTER_HELLO, AFTER_RCPT, INSIDE_DATA, Crowd, Senders, allow_files, numbers, percentile
from lib.wait import eventually

STALLED = 2000
GOOD = 200


@pytest.mark.skipif(not allow_files(3 * STALLED), reason="not enough descriptors are allowed")
def test_good_mail_goes_through_beside_2000_stalled_clients(make_server, make_postern, capsys):
    """1,000 stand after RCPT and 1,000 inside DATA, before a mailbox server that takes 20 connections and drops idle
    ones after 2 s."""
    server = make_server(max_connections=20, idle_close_s=2)
    gateway = make_postern([server], limits={"server_connections": 20})
    with Crowd(gateway.address, STALLED, AFTER_RCPT, INSIDE_DATA) as crowd:
        with Senders(gateway.address, 4) as early:  # good mail while the crowd comes
            crowd.stand()
        rounds = []
        for _ in range(2):  # on the connections that the crowd has lent, and after the server has dropped them all
            with Senders(gateway.address, 8, total=GOOD, a_session=1) as senders:
                senders.join()
            rounds.append(senders)
            eventually(lambda: not server.open_connections(), "idle connections dropped by the server")
        gone = crowd.look()
        with capsys.disabled():
            print(f"\nbeside {STALLED} stalled clients, while they come: {figures(early)}")
            for senders in rounds:
                print(f"beside {STALLED} stalled clients: {figures(senders)}")
        assert all(len(senders.acknowledged) == GOOD and not senders.refused for senders in rounds)
        assert early.acknowledged and not early.refused
        assert not gone, f"{len(gone)} stalled clients were closed, the first heard {gone[0].received}"
        arrived = numbers(subjects(server))
        assert sum(arrived.values()) == 2 * GOOD + len(early.acknowledged)
        assert server.turned_away == 0
        # those who stood wake up: their envelope is said again, and their mail arrives
        for member in crowd.members[:20]:
            wake(member)
    assert sum(1 for subject in subjects(server) if subject.startswith("half a mess")) == 20


def figures(senders):
    p50, p99 = (percentile(senders.took_s, part) * 1000 for part in (0.5, 0.99))
    taken, refused = len(senders.acknowledged), dict(senders.refused)
    return f"{taken} messages taken, refused {refused}, p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def wake(member):
    """Completes the message of one who stood."""
    member.socket.settimeout(20)
    if member.number % 2 == 0:
        member.socket.sendall(b"DATA\r\n")
        assert member.socket.recv(1000).startswith(b"354")
        member.socket.sendall(b"Subject: half a mess")
    member.socket.sendall(b"age\r\n\r\nAwake.\r\n.\r\n")
    answer = member.socket.recv(1000)
    assert answer.startswith(b"250 "), answer


def test_stalled_clients_give_way_at_the_connection_limit(make_server, make_postern):
    """The one silent longest goes first, with 421 4.4.2, and whoever comes is served."""
    server = make_server()
    gateway = make_postern([server], limits={"connections": 300}, workers=1)
    with Crowd(gateway.address, 300, AFTER_HELLO, AFTER_RCPT, INSIDE_DATA) as crowd:
        crowd.stand()
        assert not crowd.look()
        for number in range(10):
            assert send(gateway, f"number {number}", source=f"127.40.0.{number + 1}") == 250
        gone = crowd.look()
        assert gone and len(gone) <= 10
        assert all(member.received.startswith(b"421 4.4.2 ") for member in gone)
        assert {member.number for member in gone} <= set(range(120))  # of those that came early
        assert len(server.messages) == 10
        assert gateway.find_log(r"gave way at the connection limit after")
        # who talks is not silent: the crowd gives way to those who come, he does not
        with Client(gateway.address, source="127.41.0.1") as awake:
            awake.ehlo()
            for net in range(21, 26):
                with Crowd(gateway.address, 100, AFTER_HELLO, net=net) as later:
                    later.stand()
                    assert awake.command("NOOP") == 250
            assert len(crowd.look()) >= 100
            assert awake.quit() == 221


def test_many_connections_of_one_client_give_way_first(make_server, make_postern):
    server = make_server()
    gateway = make_postern([server], limits={"connections": 100, "connections_client": 60}, workers=1)
    greedy = [Client(gateway.address, source="127.50.0.1") for _ in range(60)]
    with Crowd(gateway.address, 40, AFTER_HELLO) as crowd:
        crowd.stand()
        for number in range(20):
            assert send(gateway, f"number {number}", source=f"127.51.0.{number + 1}") == 250
        assert not crowd.look()
    assert sum(client.is_closed(0.05) for client in greedy[:20]) >= 1
    for client in greedy:
        client.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_good_clients_are_served_while_new_stalled_ones_keep_coming(make_server, make_postern, workers):
    """Several times as many as there is room for; none of the good ones fails."""
    server = make_server()
    gateway = make_postern([server], limits={"connections": 400}, workers=workers)
    crowds = []
    with Senders(gateway.address, 4) as senders:
        for net in range(100, 130):
            crowds.append(Crowd(gateway.address, 50, AFTER_HELLO, net=net).stand())
            served = len(senders.acknowledged) + 4
            eventually(lambda n=served: len(senders.acknowledged) >= n, "good clients are served")
    assert not senders.refused
    assert not senders.missing(numbers(subjects(server)))
    assert gateway.total("evicted") >= 1000
    assert sum(len(crowd.look()) for crowd in crowds) >= 1000
    for crowd in crowds:
        crowd.close()


@pytest.fixture
def hanging_scanner(folder):
    """A clamd that takes all connections and says nothing: its backlog is all there is of it."""
    path = os.path.join(folder, "clamd.ctl")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen(512)
        yield path


def test_clients_that_wait_for_a_slow_scanner_do_not_lock_others_out(make_server, make_postern, hanging_scanner):
    """Four addresses of two networks hold all connections there are, each of them behind its final dot."""
    policy = os.path.join(os.path.dirname(hanging_scanner), "policy")
    with open(policy, "w", encoding="utf-8") as file:
        file.write('layer content {\n    reject "INFECTED" when virus\n}\n')
    gateway = make_postern([make_server()], workers=1, policy=policy, dns={"use": "off"},
                           limits={"connections": 200}, clamav={"server": f"unix:{hanging_scanner}", "timeout": "100s"})
    sources = [f"127.{60 + number % 2}.0.{1 + number // 2}" for number in range(4)]
    waiting = [Client(gateway.address, source=source) for source in sources for _ in range(50)]
    for client in waiting:
        client.ehlo()
        client.envelope("anna@example.com")
        client.command("DATA")
        client.send(message("slow") + b".\r\n")
    for number in range(10):
        with Client(gateway.address, source=f"127.{70 + number}.0.1") as newcomer:
            assert newcomer.greeting == 220
            newcomer.ehlo()
            assert newcomer.envelope("anna@example.com") == "250 2.1.5"
    assert gateway.total("evicted_waiting") >= 1
    assert gateway.find_log(r"gave way at the connection limit while it waited for us")
    for client in waiting:
        client.close()


def test_one_network_does_not_hold_all_connections(make_server, make_postern):
    gateway = make_postern([make_server()], workers=1,
                           limits={"connections": 100, "connections_client": 100, "connections_network": 20})
    crowd = [Client(gateway.address, source=f"127.80.0.{1 + number}") for number in range(25)]
    assert [client.greeting.code for client in crowd] == [220] * 20 + [421] * 5
    assert gateway.total("too_many_network") == 5
    with Client(gateway.address, source="127.80.1.1") as other:
        assert other.greeting == 220
    for client in crowd:
        client.close()
