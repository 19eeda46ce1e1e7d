"""Clients that are slow, do not read, or send rubbish: they get what they deserve, and disturb nobody."""
import random
import socket
import threading

import pytest

from lib.client import Client, Closed, message
from lib.deliver import RECIPIENT, send, subjects
from lib.load import Senders, numbers, source
from lib.wait import eventually

MIB = 1024 * 1024
ROUNDS = 2000


def memory_of(pid):
    """Resident, in bytes."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


# ---- slow ones

@pytest.mark.parametrize("way", ["DATA", "BDAT"])
def test_a_message_that_comes_byte_by_byte_arrives(make_server, make_postern, way):
    server = make_server()
    gateway = make_postern([server])
    text = message("drip", b".\r\n..\r\nThe end.\r\n")
    with Client(gateway.address) as client:
        steps = [b"EHLO drip.example.net\r\n", b"MAIL FROM:<a@example.net>\r\n", b"RCPT TO:<anna@example.com>\r\n"]
        if way == "DATA":
            steps += [b"DATA\r\n", text.replace(b"\r\n.", b"\r\n..") + b".\r\n"]
        else:
            steps += [b"BDAT %d LAST\r\n%b" % (len(text), text)]
        codes = []
        for step in [*steps, b"QUIT\r\n"]:
            for at in range(len(step)):
                client.send(step[at:at + 1])
            codes.append(client.reply().code)
        assert codes == ([250, 250, 250, 354, 250, 221] if way == "DATA" else [250, 250, 250, 250, 221])
    assert server.messages[0].content.endswith(text)


def test_many_messages_that_drip_at_once_arrive(make_server, make_postern):
    """Fifty clients, a byte of each in turn."""
    server = make_server()
    gateway = make_postern([server])
    clients = [Client(gateway.address, source=source(number)) for number in range(50)]
    for number, client in enumerate(clients):
        client.ehlo()
        client.envelope(RECIPIENT)
        client.command("DATA")
    texts = [message(f"number {number:02}") + b".\r\n" for number in range(50)]
    for at in range(len(texts[0])):
        for client, text in zip(clients, texts):
            client.send(text[at:at + 1])
    assert all(client.reply() == 250 for client in clients)
    for client in clients:
        client.quit()
    assert numbers(subjects(server)) == {number: 1 for number in range(50)}


def test_a_client_that_drips_gets_no_more_time_than_others(make_server, make_postern):
    """The time-out runs from the last whole command, so single bytes buy nothing."""
    gateway = make_postern([make_server()], timeouts={"command": "1s", "command_stressed": "1s"})
    with Client(gateway.address) as client:
        client.ehlo()
        client.socket.settimeout(0.05)
        heard = b""

        def is_told():
            nonlocal heard
            try:
                client.send(b"N")
                heard += client.socket.recv(1000)
            except TimeoutError:
                pass
            except OSError:
                return True
            return b"421 4.4.2" in heard
        eventually(is_told, "421 4.4.2", 5)
        assert heard.startswith(b"421 4.4.2")


# ---- those that do not read

FLOODS = {
    "NOOP": b"NOOP\r\n",
    "RSET": b"RSET\r\n",
    "VRFY": b"VRFY anna\r\n",
    "MAIL and RSET": b"MAIL FROM:<a@example.net>\r\nRSET\r\n",
    "unknown recipients": b"RCPT TO:<nobody@example.com>\r\n",
    "known recipients": b"RCPT TO:<anna@example.com>\r\n",
    "EHLO": b"EHLO flood.example.net\r\n",
    "rubbish": b"WHAT IS THIS\r\n",
}


class Flood(threading.Thread):
    """Sends the same again and again, and reads nothing, until the server has had enough or takes no more."""

    def __init__(self, address, what, number):
        super().__init__(daemon=True)
        self.client = Client(address, source=source(number, 60), timeout=3)
        self.client.ehlo()
        if b"RCPT" in what:
            self.client.envelope(RECIPIENT)
        self.what = what

    def run(self):
        try:
            for _ in range(100):
                self.client.send(self.what * 1000)
        except OSError:
            pass


@pytest.mark.parametrize("name", FLOODS)
def test_a_client_that_pipelines_and_never_reads_costs_no_memory_and_stops_nobody(make_server, make_postern, name):
    server = make_server()
    gateway = make_postern([server], workers=1, limits={"junk_commands": 10000, "errors": 1000, "transactions": 10000})
    pid = gateway.worker_pids()[0]
    assert send(gateway) == 250
    before = memory_of(pid)
    floods = [Flood(gateway.address, FLOODS[name], number) for number in range(5)]
    for flood in floods:
        flood.start()
    most = 0

    def is_over():
        nonlocal most
        most = max(most, memory_of(pid))
        assert send(gateway) == 250
        return not any(flood.is_alive() for flood in floods)
    eventually(is_over, "the floods ended or stand still", 30)
    assert most - before < 12 * MIB, f"{name}: {(most - before) / MIB:.1f} MiB more"
    for flood in floods:
        flood.client.close()
    assert send(gateway) == 250
    assert gateway.worker_pids() == [pid]


def test_replies_to_a_long_pipeline_are_whole_and_in_order_when_they_are_read_late(make_server, make_postern):
    gateway = make_postern([make_server()], limits={"junk_commands": 10000})
    with Client(gateway.address) as client:
        client.ehlo()
        commands = b"".join(b"NOOP\r\n" if number % 2 else b"VRFY anna\r\n" for number in range(9000))
        sender = threading.Thread(target=client.send, args=(commands,))
        sender.start()
        codes = [client.reply().code for _ in range(9000)]
        sender.join()
        assert codes == [252, 250] * 4500


# ---- hostile ones

SCRAPS = [
    b"EHLO ", b"MAIL FROM:<", b"RCPT TO:<", b"anna@example.com>", b"DATA\r\n", b"BDAT ", b"99999999999999",
    b" LAST\r\n", b"\r\n", b".\r\n", b"\r\n.\r\n", b"\n", b"\r", b"\0", b"STARTTLS\r\n", b"XCLIENT ADDR=",
    b"PROXY TCP4 1.2.3.4 ", b"\x16\x03\x01", b"x" * 3000, b"<" * 50, b"\"\\", b"@[", b"SIZE=", b"\xff\xfe\xc3",
]
STARTS = [b"", b"EHLO x\r\n", b"EHLO x\r\nMAIL FROM:<>\r\n",
          b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<anna@example.com>\r\n"]


def rubbish(choice, number):
    """Bytes that look a little like SMTP, or not at all."""
    def scrap():
        return choice.choice(SCRAPS) if choice.random() < 0.7 else choice.randbytes(choice.randint(1, 200))
    return STARTS[number % len(STARTS)] + b"".join(scrap() for _ in range(choice.randint(1, 25)))


def test_workers_survive_2000_connections_of_rubbish(make_server, make_postern):
    choice = random.Random(7)
    server = make_server()
    gateway = make_postern([server], limits={"connections_client": 5000})
    pids = gateway.worker_pids()
    with Senders(gateway.address, 2) as senders:
        for at in range(0, ROUNDS, 100):
            sockets = [socket.create_connection(gateway.address) for _ in range(100)]
            for number, sock in enumerate(sockets):
                try:
                    sock.sendall(rubbish(choice, number))
                    if number % 3 == 0:
                        sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            for sock in sockets:
                sock.close()
            served = len(senders.acknowledged) + 1
            eventually(lambda n=served: len(senders.acknowledged) >= n, "good clients are served")
    assert gateway.worker_pids() == pids
    assert not senders.refused
    assert not senders.missing(numbers(subjects(server)))
    assert send(gateway, "after") == 250


def test_a_client_that_resets_at_any_moment_leaves_nothing_behind(make_server, make_postern):
    server = make_server()
    gateway = make_postern([server], workers=1)
    text = b"EHLO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<anna@example.com>\r\nDATA\r\n"
    for at in range(len(text)):
        client = Client(gateway.address)
        client.send(text[:at])
        client.reset()
    eventually(lambda: gateway.status()["totals"]["sessions_now"] == 0, "no session is left")
    assert send(gateway, "after") == 250
    assert subjects(server) == ["after"]
    with pytest.raises((Closed, OSError)):
        client.reply()
