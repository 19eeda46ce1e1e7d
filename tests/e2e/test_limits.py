"""What bounds a client: each limit with its reply, at the bound and one past it, and who gives way at the limit of
connections.
"""
import time

import pytest

from lib.client import Client, Closed, message
from lib.wait import eventually


@pytest.fixture
def server(make_server):
    return make_server()


def assert_closed(client):
    with pytest.raises(Closed):
        while True:
            client.reply()


def test_connections_of_one_client_are_limited_and_others_are_not(make_postern, server):
    gateway = make_postern([server], limits={"connections_client": 3})
    clients = [Client(gateway.address) for _ in range(4)]
    assert [client.greeting.code for client in clients] == [220, 220, 220, 421]
    assert clients[3].greeting == "421 4.7.0"
    assert_closed(clients[3])
    with Client(gateway.address, source="127.0.0.2") as other:
        assert other.greeting == 220
    clients[0].quit()
    eventually(lambda: Client(gateway.address).greeting == 220, "the place is free again")
    for client in clients:
        client.close()


def test_a_message_announced_too_large_is_refused_at_mail(make_postern, server):
    gateway = make_postern([server], limits={"message_size": "100K"})
    with Client(gateway.address) as client:
        client.ehlo()
        assert client.extensions["SIZE"] == str(100 << 10)
        assert client.command(f"MAIL FROM:<a@client.example.net> SIZE={(100 << 10) + 1}") == "552 5.3.4"
        assert client.command(f"MAIL FROM:<a@client.example.net> SIZE={100 << 10}") == "250 2.1.0"


@pytest.mark.parametrize("way", ["DATA", "BDAT"])
@pytest.mark.parametrize("excess, expected", [(0, "250 2.0.0"), (1, "552 5.3.4")])
def test_a_message_that_arrives_too_large_is_refused_at_its_end_and_the_session_goes_on(
        way, excess, expected, make_postern, server, subject):
    size = 100 << 10
    gateway = make_postern([server], limits={"message_size": "100K", "memory_spool": "16K"})
    head = message(subject, b"")
    text = head + b"x" * 70 + b"\r\n" + b"y" * (size + excess - len(head) - 74) + b"\r\n"
    with Client(gateway.address) as client:
        client.ehlo()
        client.envelope("anna@example.com")
        reply = client.data(text) if way == "DATA" else client.bdat(text[:60000], text[60000:])
        assert reply == expected and reply.id
        assert client.envelope("anna@example.com") == "250 2.1.5"
        assert client.data(message(subject)) == "250 2.0.0"
    assert len(server.messages) == (2 if excess == 0 else 1)


def test_the_size_limit_of_the_mailbox_server_counts_as_well(make_postern, make_server):
    server = make_server(extensions=["SIZE 50000", "PIPELINING"])
    gateway = make_postern([server])

    def offered():
        with Client(gateway.address) as client:
            client.ehlo()
            return client.extensions.get("SIZE")
    eventually(lambda: offered() == "50000", "the smaller SIZE is offered")
    with Client(gateway.address) as client:
        client.ehlo()
        reply = client.envelope("anna@example.com", parameters="SIZE=50001")
        assert reply == "552 5.3.4"


def test_recipients_over_the_limit_are_put_off(make_postern, server, subject):
    gateway = make_postern([server], limits={"recipients": 3}, domain=("example.com", {"catch_all": "yes"}))
    with Client(gateway.address) as client:
        client.ehlo()
        assert client.envelope("a@example.com", "b@example.com", "c@example.com") == "250 2.1.5"
        over = client.command("RCPT TO:<d@example.com>")
        assert over == "452 4.5.3" and over.id
        assert client.data(message(subject)) == 250
        assert client.envelope("d@example.com") == "250 2.1.5"
    assert server.messages[0].recipients == ["a@example.com", "b@example.com", "c@example.com"]


def test_transactions_over_the_limit_end_the_session(make_postern, server, subject):
    gateway = make_postern([server], limits={"transactions": 2})
    with Client(gateway.address) as client:
        client.ehlo()
        for _ in range(2):
            client.envelope("anna@example.com")
            assert client.data(message(subject)) == 250
        assert client.command("MAIL FROM:<a@client.example.net>") == "421 4.7.0"
        assert_closed(client)


@pytest.mark.parametrize("wrong, expected", [("BOGUS", "500 5.5.1"), ("MAIL FROM:", "501 5.5.4"),
                                             ("DATA", "503 5.5.1")])
def test_errors_over_the_limit_end_the_session(wrong, expected, make_postern, server):
    gateway = make_postern([server], limits={"errors": 3})
    with Client(gateway.address) as client:
        client.ehlo()
        for _ in range(3):
            assert client.command(wrong) == expected
        assert client.command(wrong) == "421 4.7.0"
        assert_closed(client)
    gateway.wait_log("too many errors")


def test_a_client_that_guesses_recipients_is_cut_off_and_a_list_with_dead_ones_is_not(make_postern, server, subject):
    gateway = make_postern([server], limits={"errors": 3})
    with Client(gateway.address) as guesser:
        guesser.ehlo()
        guesser.command("MAIL FROM:<a@client.example.net>")
        replies = [guesser.command(f"RCPT TO:<guess{number}@example.com>") for number in range(4)]
        assert [reply.code for reply in replies] == [550, 550, 550, 550]
        assert guesser.reply() == "421 4.7.0"
    with Client(gateway.address) as mailing_list:
        mailing_list.ehlo()
        mailing_list.envelope("anna@example.com")
        for number in range(20):
            assert mailing_list.command(f"RCPT TO:<dead{number}@example.com>") == "550 5.1.1"
        assert mailing_list.data(message(subject)) == 250


@pytest.mark.parametrize("junk", ["NOOP", "VRFY anna", "RSET", "HELP", "EHLO client.example.net"])
def test_commands_that_lead_to_no_mail_are_limited(junk, make_postern, server):
    gateway = make_postern([server], limits={"junk_commands": 5})
    with Client(gateway.address) as client:
        client.ehlo()
        for _ in range(4):  # the EHLO above was the first
            assert client.command(junk).code in (250, 252, 214)
        assert client.command(junk) == "421 4.7.0"
        assert_closed(client)


@pytest.mark.parametrize("length, expected", [(512, "250 2.0.0"), (513, "500 5.5.2")])
def test_a_command_line_over_the_limit_is_an_error_and_the_next_one_is_read(length, expected, make_postern, server):
    gateway = make_postern([server], limits={"command_line": 512})
    with Client(gateway.address) as client:
        client.ehlo()
        assert client.command("NOOP " + "x" * (length - 7)) == expected
        assert client.command("NOOP") == "250 2.0.0"


def test_a_command_line_without_end_costs_no_memory_and_ends_with_its_line(make_postern, server):
    gateway = make_postern([server])
    with Client(gateway.address) as client:
        client.ehlo()
        client.send(b"x" * 3_000_000 + b"\r\n")
        assert client.reply() == "500 5.5.2"
        assert client.command("NOOP") == "250 2.0.0"


def test_received_fields_over_a_hundred_are_a_loop(make_postern, server, subject):
    gateway = make_postern([server])
    for number, expected in ((100, "250 2.0.0"), (101, "554 5.4.6")):
        with Client(gateway.address) as client:
            client.ehlo()
            client.envelope("anna@example.com")
            assert client.data(b"Received: by a.example.net\r\n" * number + message(subject)) == expected


def test_a_silent_client_is_told_the_time_is_up(make_postern, server):
    gateway = make_postern([server], timeouts={"command": "1s", "command_stressed": "1s",
                                               "data": "1s", "data_stressed": "1s"})
    with Client(gateway.address) as silent, Client(gateway.address) as in_data:
        in_data.ehlo()
        in_data.envelope("anna@example.com")
        in_data.command("DATA")
        in_data.send(message("never ends"))
        began = time.monotonic()
        assert silent.reply() == "421 4.4.2"
        assert in_data.reply() == "421 4.4.2"
        assert time.monotonic() - began < 5
    assert not server.messages


def test_a_client_that_drips_single_bytes_runs_out_of_time_too(make_postern, server):
    gateway = make_postern([server], timeouts={"command": "1s", "command_stressed": "1s"})
    with Client(gateway.address) as client:
        client.socket.settimeout(0.05)
        replies = []
        end = time.monotonic() + 5
        while not replies and time.monotonic() < end:
            client.send(b"x")
            try:
                replies.append(client.reply())
            except TimeoutError:
                pass
        assert replies and replies[0] == "421 4.4.2"


def test_a_tls_handshake_that_never_comes_is_cut_off(make_postern, server, authority):
    gateway = make_postern([server], tls={"certificate": authority.issue("mx.example.com")},
                           timeouts={"tls_handshake": "1s"})
    with Client(gateway.address) as client:
        client.ehlo()
        assert client.command("STARTTLS") == 220
        assert client.is_closed(within=25)
    gateway.wait_log("TLS handshake timeout")


# ---- the limit of connections in all

def stalled(gateway, number):
    """A client that never speaks again: after the greeting, after RCPT or inside DATA."""
    client = Client(gateway.address, source=f"127.0.{3 + number // 250}.{1 + number % 250}")
    if number % 3 > 0:
        client.ehlo()
        client.envelope("anna@example.com")
    if number % 3 == 2:
        client.command("DATA")
        client.send(message("stalled"))
    return client


def test_stalled_clients_give_way_to_good_ones_at_the_limit(make_postern, server, subject):
    gateway = make_postern([server], limits={"connections": 200, "connections_client": 200})
    clients = [stalled(gateway, number) for number in range(300)]
    assert gateway.total("sessions_now") <= 200
    assert gateway.total("evicted") >= 100
    for number in range(30):
        with Client(gateway.address, source=f"127.0.9.{1 + number}") as good:
            good.ehlo()
            assert good.envelope("anna@example.com") == "250 2.1.5"
            assert good.data(message(subject)) == 250
    assert [sent.header("Subject") for sent in server.messages] == [subject] * 30
    assert clients[0].reply() == "421 4.4.2"
    for client in clients:
        client.close()


def test_the_network_with_most_connections_pays(make_postern, server):
    gateway = make_postern([server], workers=1, limits={"connections": 20, "connections_client": 20})
    quiet = [Client(gateway.address, source=f"127.5.{number}.1") for number in range(5)]
    greedy = [Client(gateway.address, source="127.0.6.1") for _ in range(15)]
    newcomers = [Client(gateway.address, source=f"127.7.{number}.1") for number in range(10)]
    assert all(client.greeting == 220 for client in newcomers)
    assert all(client.command("NOOP") == 250 for client in quiet)
    evicted = 0
    for client in greedy:
        client.send(b"NOOP\r\n")
        evicted += client.reply() == "421 4.4.2"
    assert evicted == 10
    for client in quiet + greedy + newcomers:
        client.close()


def test_at_the_limit_time_outs_become_short(make_postern, server):
    gateway = make_postern([server], workers=1, limits={"connections": 10, "connections_client": 10},
                           timeouts={"command": "1h", "command_stressed": "1s"})
    with Client(gateway.address) as early:
        others = [Client(gateway.address) for _ in range(8)]
        assert early.command("NOOP") == 250
        assert early.reply() == "421 4.4.2"
        for client in others:
            client.close()
