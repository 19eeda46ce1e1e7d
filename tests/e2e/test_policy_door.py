"""The second door: a real Postfix in front, whose smtpd asks us by `check_policy_service` about every recipient."""
import grp
import os
import re
import socket
import stat
import threading

import pytest

from lib.client import Client
from lib.ports import LOOPBACK, free_port
from lib.postern import Postern
from lib.program import is_root
from lib.wait import eventually

OWN = "127.0.0.9"
RULES = 'layer policy {\n    reject "BANNED SENDER" when sender.address in banned_senders\n' \
        '    reject "HELO_IP" when helo.address\n    defer "SLOW" when sender.domain == "slow.example"\n}\n'
RESTRICTIONS = "permit_mynetworks, reject_unauth_destination, check_policy_service {}"


def restricted(door, **parameters):
    """`door`: a port of loopback, or where else Postfix asks."""
    service = f"inet:{LOOPBACK}:{door}" if isinstance(door, int) else door
    return {"mynetworks": f"{OWN}/32", "smtpd_recipient_restrictions": RESTRICTIONS.format(service),
            "domains": ("example.com", "other.example"), "smtpd_policy_service_retry_delay": "1s",
            **parameters}


@pytest.fixture
def door(folder, make_postern):
    """A gateway that answers Postfix on `door.policy_port`."""
    policy = os.path.join(folder, "policy")
    with open(policy, "w", encoding="utf-8") as file:
        file.write(RULES)
    port = free_port()
    gateway = make_postern(["127.0.0.1:1"], policy=policy, policy_listen=f"{LOOPBACK}:{port}",
                           relay_clients=["127.0.0.9"],
                           table=[("banned_senders addresses", {"entries": "bad@example.net"})])
    gateway.policy_port = port
    return gateway


def envelope(postfix, recipient, sender="good@example.net", helo="client.example", source="127.0.0.7"):
    with Client(postfix.address, source=source) as client:
        client.ehlo(helo)
        assert client.command(f"MAIL FROM:<{sender}>") == 250
        return client.command(f"RCPT TO:<{recipient}>")


def test_postfix_refuses_what_the_policy_refuses_and_takes_the_rest(door, make_postfix):
    postfix = make_postfix("asks", **restricted(door.policy_port))
    assert envelope(postfix, "anna@example.com") == 250
    unknown = envelope(postfix, "nobody@example.com")
    assert unknown == "550 5.1.1" and unknown.id
    assert envelope(postfix, "anyone@other.example") == 250  # no directory here: Postfix's affair
    banned = envelope(postfix, "anna@example.com", sender="bad@example.net")
    assert banned == "550 5.7.1" and "BANNED SENDER" in banned.text
    assert envelope(postfix, "anna@example.com", helo="[127.0.0.7]") == "550 5.7.1"
    assert envelope(postfix, "anna@example.com", sender="a@slow.example") == "450 4.7.1"
    assert envelope(postfix, "a@elsewhere.example") == "454 4.7.1"  # relay control is Postfix's own
    door.wait_log(rf'rule="BANNED SENDER" door=postfix sid={banned.id}')
    assert door.wait_journal(id=unknown.id, door="postfix")["rule"] == "NO SUCH USER"
    assert door.wait_journal(rule="SLOW", door="postfix")["action"] == "defer"
    told = door.command("explain", banned.id).stdout
    assert re.search(r'^verdict +reject "BANNED SENDER" \(layer policy\), 550 5.7.1$', told, re.M), told
    assert sorted(door.command("report", "policy").stdout.split("\n")) == ["", "1 BANNED SENDER", "1 HELO_IP", "1 SLOW"]


def test_own_clients_are_left_alone(door, make_postfix):
    postfix = make_postfix("asks-for-its-own", **restricted(door.policy_port, mynetworks="127.0.0.99/32"))
    assert envelope(postfix, "nobody@example.com", source=OWN) == 250
    assert envelope(postfix, "nobody@example.com") == "550 5.1.1"


def test_what_only_the_smtp_door_sees_refuses_nobody_at_postfix(folder, make_server, make_postern, make_postfix):
    policy = os.path.join(folder, "policy")
    with open(policy, "w", encoding="utf-8") as file:
        file.write('layer connection {\n    reject "EARLY" when client.early_talker\n'
                   '    reject "OFTEN" when client.rate(connections, 1h) > 1 or client.rate(recipients, 1h) > 2\n}\n')
    port, client = free_port(), "127.0.0.7"
    gateway = make_postern([make_server()], policy=policy, policy_listen=f"{LOOPBACK}:{port}", greeting_delay="1500ms",
                           dns={"use": "off"})
    postfix = make_postfix("asks-of-talkers", **restricted(port))
    with Client(gateway.address, source=client, greeted=False) as talker:
        assert talker.ehlo() == 220 and talker.reply() == 250
        assert "EARLY" in talker.envelope("anna@example.com").text
    for _ in range(4):
        assert envelope(postfix, "anna@example.com", source=client) == 250
    record = gateway.wait_journal(door="postfix", client=client)
    assert "early_talker" not in record
    for fact in ("client.early_talker", "client.rate(connections, 1h)", "client.rate(recipients, 1h)"):
        assert record["facts"][fact]["state"] == "off"
    with Client(gateway.address, source=client) as often:
        often.ehlo()
        assert "OFTEN" in often.envelope("anna@example.com").text


def test_a_door_that_is_shut_leaves_postfix_to_its_own_default(make_postfix):
    postfix = make_postfix("asks-nobody", **restricted(free_port()))
    assert envelope(postfix, "anna@example.com") == "451 4.3.5"
    postfix.reload(smtpd_policy_service_default_action="DUNNO")
    eventually(lambda: envelope(postfix, "anna@example.com") == 250, "postfix takes mail without us")


def test_many_requests_come_on_one_connection(door):
    request = "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=127.0.0.7\nhelo_name=x.example\n" \
              "sender=a@example.net\nrecipient={}@example.com\n\n"
    with socket.create_connection((LOOPBACK, door.policy_port), timeout=20) as sock, sock.makefile("rb") as said:
        sock.sendall("".join(request.format(name) for name in ["anna", "nobody"] * 200).encode())
        for _ in range(200):
            assert said.readline() == b"action=DUNNO\n" and said.readline() == b"\n"
            assert said.readline().startswith(b"action=550 5.1.1 ") and said.readline() == b"\n"


def policy_request(recipient="anna@example.com", **attributes):
    lines = {"request": "smtpd_access_policy", "protocol_state": "RCPT", "client_address": "127.0.0.7",
             "helo_name": "x.example", "sender": "a@example.net", "recipient": recipient, **attributes}
    return "".join(f"{name}={value}\n" for name, value in lines.items()).encode() + b"\n"


def send(sock, pieces):
    try:
        for piece in pieces:
            sock.sendall(piece)
    except OSError:
        pass  # the other half tells what was missing


def ask_in_turn(port, name, n):
    """Pipelines n requests, two recipients a message; every second message has a sender that is refused by name. What
    is wrong with the answers, if anything."""
    def requests():
        for i in range(n):
            sender = f"{name}{i // 2}@{'good' if i % 4 < 2 else 'bad'}.example"
            yield policy_request(sender=sender, instance=f"7.{i // 2}",
                                 recipient="anna@example.com" if i % 2 == 0 else f"{name}{i}@example.com")

    with socket.create_connection((LOOPBACK, port), timeout=60) as sock, sock.makefile("rb") as said:
        sender = threading.Thread(target=send, args=(sock, requests()))
        sender.start()
        wrong = ""
        for i in range(n):
            answer, empty = said.readline().decode(), said.readline()
            expected = f"550 5.1.1 no {name}{i}@example.com here " if i % 2 else \
                f"550 5.7.1 {name}{i // 2}@bad.example is banned " if i % 4 >= 2 else "DUNNO\n"
            if empty != b"\n" or not answer.startswith("action=" + expected):
                wrong = f"{answer!r} to request {i} of {name}, expected {expected!r}"
                break
        if wrong:
            sock.shutdown(socket.SHUT_RDWR)  # lets the sender go
        sender.join()
    return wrong


def test_of_10000_pipelined_requests_each_has_its_own_answer_whoever_else_asks(folder, make_postern):
    policy = os.path.join(folder, "policy")
    with open(policy, "w", encoding="utf-8") as file:
        file.write('text "NO SUCH USER" with 550 5.1.1 "no {rcpt} here"\nlayer policy {\n    reject "BANNED SENDER" '
                   'when sender.domain == "bad.example" with 550 5.7.1 "{sender} is banned"\n}\n')
    port = free_port()
    make_postern(["127.0.0.1:1"], policy=policy, policy_listen=f"{LOOPBACK}:{port}", workers=1)
    hostile = {"binary": bytes(range(256)) * 8, "a long line": b"request=" + 9000 * b"x", "lines": 5000 * b"a=b\n",
               "half a request": policy_request()[:-1], "twice": policy_request(sender="x\nsender=y"),
               "NUL": policy_request(sender="x\0y"), "SMTP": b"EHLO x\r\n", "no end": b"request=smtpd_access_policy"}
    wrong, peers = [], {}
    threads = [threading.Thread(target=lambda name=name: wrong.append(ask_in_turn(port, name, 10000)))
               for name in ("a", "b")]  # with instances of the same names
    for thread in threads:
        thread.start()
    for name, said in hostile.items():
        peers[name] = socket.create_connection((LOOPBACK, port), timeout=60)
        peers[name].sendall(said)
    for thread in threads:
        thread.join()
    assert wrong == ["", ""]
    for name, peer in peers.items():
        if name in ("half a request", "no end"):  # may still come to its end; closed after a minute
            peer.sendall(b"\n" if name == "half a request" else b"\n" + policy_request()[28:])
            assert peer.recv(4096) == b"action=DUNNO\n\n", name
        else:
            assert end_of(peer) == b"", name  # closed, and nothing said
        peer.close()


def end_of(peer):
    """What comes before the peer closes, or resets, the connection."""
    said = b""
    try:
        while piece := peer.recv(4096):
            said += piece
    except ConnectionResetError:
        pass
    return said


# ---- over a Unix socket


class Asker:
    """Asks as Postfix does: on one connection while it lasts, and once more on a new one when it was closed."""

    def __init__(self, path):
        self.path, self.sock, self.n_answered, self.n_connected = path, None, 0, 0

    def ask_once(self):
        if self.sock is None:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(20)
            self.sock.connect(self.path)
            self.n_connected += 1
        answer = b""
        try:
            self.sock.sendall(policy_request())
            while not answer.endswith(b"\n\n"):
                piece = self.sock.recv(4096)
                if not piece:
                    break
                answer += piece
        except (BrokenPipeError, ConnectionResetError):
            answer = b""
        if not answer:
            self.close()
        return answer

    def ask(self):
        answer = self.ask_once() or self.ask_once()
        assert answer == b"action=DUNNO\n\n", f"{answer!r} after {self.n_answered} answers"
        self.n_answered += 1

    def close(self):
        self.sock.close()
        self.sock = None


@pytest.fixture
def socket_door(folder, make_postern):
    """A gateway that answers on `door.path`, which Postfix's group may write to, and on a second one."""
    policy = os.path.join(folder, "policy")
    with open(policy, "w", encoding="utf-8") as file:
        file.write(RULES)
    sockets = os.path.join(folder, "sockets")
    os.mkdir(sockets, 0o755)
    path = os.path.join(sockets, "policy")
    gateway = make_postern(["127.0.0.1:1"], policy=policy, relay_clients=["127.0.0.9"],
                           policy_listen=[(f"unix:{path}", {"mode": "0660", "group": group()}),
                                          f"unix:{path}2", f"{LOOPBACK}:{free_port()}"],
                           table=[("banned_senders addresses", {"entries": "bad@example.net"})])
    gateway.path = path
    return gateway


def group():
    name = "postfix" if is_root() else None
    try:
        return grp.getgrnam(name).gr_name if name else grp.getgrgid(os.getegid()).gr_name
    except KeyError:
        return grp.getgrgid(os.getegid()).gr_name


def test_postfix_asks_over_a_unix_socket(socket_door, make_postfix):
    postfix = make_postfix("asks-a-file", **restricted(f"unix:{socket_door.path}"))
    assert envelope(postfix, "anna@example.com") == 250
    unknown = envelope(postfix, "nobody@example.com")
    assert unknown == "550 5.1.1" and unknown.id
    assert envelope(postfix, "anna@example.com", sender="bad@example.net") == "550 5.7.1"
    assert socket_door.wait_journal(id=unknown.id, door="postfix")["client"] == "127.0.0.7"


def test_the_socket_has_the_mode_and_group_of_the_configuration(socket_door):
    found = os.stat(socket_door.path)
    assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o660
    assert grp.getgrgid(found.st_gid).gr_name == group()
    inode = found.st_ino
    socket_door.configure(policy_listen=(f"unix:{socket_door.path}", {"mode": "0600"}))
    socket_door.reload()
    found = os.stat(socket_door.path)
    assert stat.S_IMODE(found.st_mode) == 0o600 and found.st_ino == inode
    assert not os.path.exists(socket_door.path + "2")  # no longer named
    socket_door.stop()
    assert not os.path.exists(socket_door.path)


def test_no_request_is_lost_over_reloads_and_dying_workers(socket_door):
    askers = [Asker(socket_door.path) for _ in range(8)]
    over = threading.Event()
    failures = []

    def go_on(asker):
        try:
            while not over.is_set():
                asker.ask()
        except (OSError, AssertionError) as error:
            failures.append(error)

    threads = [threading.Thread(target=go_on, args=(asker,)) for asker in askers]
    for thread in threads:
        thread.start()
    for _ in range(3):
        socket_door.reload()
    for pid in socket_door.worker_pids():
        socket_door.kill_worker(pid)
        # A request is tried twice, so two deaths must not meet the same one: everybody is answered in between.
        counts = [asker.n_answered for asker in askers]
        eventually(lambda: failures or all(a.n_answered > n for a, n in zip(askers, counts)), "all are answered")
    over.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert all(asker.n_answered > 10 for asker in askers)
    assert any(asker.n_connected > 1 for asker in askers)
    for asker in askers:
        asker.close()


def test_a_file_that_a_killed_instance_left_is_replaced(socket_door):
    inode = os.stat(socket_door.path).st_ino
    socket_door.kill_all()
    assert os.stat(socket_door.path).st_ino == inode
    socket_door.start()
    asker = Asker(socket_door.path)
    asker.ask()
    asker.close()


def test_a_socket_that_another_instance_answers_on_is_an_error(socket_door, folder):
    other = os.path.join(folder, "other")
    os.mkdir(other)
    second = Postern(other, port=free_port(), policy_listen=f"unix:{socket_door.path}", relay_clients=["127.0.0.9"],
                     servers=("mailbox", {"server": "127.0.0.1:1"}))
    done = second.command("run")
    assert done.returncode != 0
    assert f"cannot listen on unix:{socket_door.path}: Address already in use" in done.stdout
    asker = Asker(socket_door.path)
    asker.ask()
    asker.close()
