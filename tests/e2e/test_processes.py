"""Master and workers: what a killed worker, a reload, a stop, a supervisor and a second instance do to the sessions."""
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from lib.client import Client, Closed, message, proxy_v1
from lib.postern import PROGRAM
from lib.program import is_alive
from lib.server import Gate
from lib.wait import eventually

ADDRESSES = [f"127.0.1.{number}" for number in range(1, 13)]


@pytest.fixture
def server(make_server):
    return make_server()


def deliver(gateway, subject, source=None, first=b""):
    with Client(gateway.address, source=source, first=first) as client:
        client.ehlo()
        client.envelope("anna@example.com")
        return client.data(message(subject))


def refuses(address):
    try:
        socket.create_connection(address, timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def certificate_of(gateway):
    """The PEM text of what STARTTLS presents."""
    with Client(gateway.address) as client:
        client.ehlo()
        assert client.starttls() == 220
        return ssl.DER_cert_to_PEM_cert(client.socket.getpeercert(binary_form=True)).strip()


# ---- workers

def test_a_killed_worker_is_replaced_and_the_sessions_of_others_live(make_postern, server, subject):
    gateway = make_postern([server])
    clients = [Client(gateway.address, source=address) for address in ADDRESSES]
    for client in clients:
        client.ehlo()
        assert client.envelope("anna@example.com") == 250
    gateway.kill_worker(gateway.worker_pids()[0])
    alive = 0
    for client in clients:
        try:
            alive += client.data(message(subject)) == 250
        except (Closed, OSError):
            pass
        client.close()
    assert 0 < alive < len(clients) and len(server.messages) == alive
    for address in ADDRESSES:
        assert deliver(gateway, subject, address) == 250
    assert gateway.status()["worker_deaths"] == 1
    assert gateway.command("status", "--check").returncode == 1


def test_connections_that_wait_for_a_killed_worker_are_served_by_its_successor(make_postern, server, subject):
    gateway = make_postern([server], workers=1)
    worker = gateway.worker_pids()[0]
    os.kill(worker, signal.SIGSTOP)
    clients = [Client(gateway.address, source=address, greeted=False) for address in ADDRESSES]
    gateway.kill_worker(worker)
    for client in clients:
        assert client.reply() == 220
        client.close()


def test_workers_are_unprivileged_and_locked_in(make_postern, server):
    gateway = make_postern([server])
    for pid in gateway.worker_pids():
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            status = dict(line.split(":\t", 1) for line in file.read().splitlines())
        assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
        assert "0" not in status["Uid"].split()
        assert int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0


def test_workers_drain_by_themselves_when_the_master_is_killed(make_postern, server, subject):
    gateway = make_postern([server])
    workers = gateway.worker_pids()
    with Client(gateway.address) as client:
        client.ehlo()
        client.envelope("anna@example.com")
        assert client.command("DATA") == 354
        gateway.process.kill()
        gateway.wait()
        client.send(message(subject) + b".\r\n")
        assert client.reply() == 250
    eventually(lambda: not any(is_alive(pid) for pid in workers), "workers gone")
    gateway.start()
    assert deliver(gateway, subject) == 250


# ---- reload

@pytest.mark.parametrize("way", ["SIGHUP", "postern reload"])
def test_a_reload_drops_no_session_and_new_connections_see_the_new_configuration(
        way, make_postern, server, authority, subject):
    old, new = authority.issue("mx.example.com"), authority.issue("mx.example.com", days=1)
    gateway = make_postern([server], tls={"certificate": old}, limits={"message_size": "1M"})
    idle, in_data = (Client(gateway.address, source=address) for address in ADDRESSES[:2])
    idle.ehlo()
    in_data.ehlo()
    in_data.envelope("anna@example.com")
    in_data.command("DATA")
    in_data.send(message(subject))
    gateway.configure(tls={"certificate": new}, limits={"message_size": "2M"})
    if way == "SIGHUP":
        gateway.hang_up()
        gateway.wait_log("reload ok: 2 new workers serve, 2 old ones drain")
    else:
        assert "2 workers" in gateway.reload()
    with Client(gateway.address) as fresh:
        fresh.ehlo()
        assert fresh.extensions["SIZE"] == str(2 << 20)
    with open(new.chain, encoding="ascii") as file:
        assert certificate_of(gateway) in file.read()
    in_data.send(b".\r\n")
    assert in_data.reply() == 250
    assert idle.envelope("anna@example.com") == 250
    assert idle.data(message(subject)) == 250
    idle.ehlo()
    assert idle.extensions["SIZE"] == str(1 << 20)
    idle.quit()
    in_data.quit()
    eventually(lambda: len(gateway.status()["workers"]) == 2, "old workers ended")
    assert len(server.messages) == 2


@pytest.mark.parametrize("listener", [None, {"proxy_from": "127.0.0.0/8"}], ids=["plain", "behind a balancer"])
def test_reloads_under_load_lose_no_connection_and_no_message(listener, make_postern, server, subject):
    """Behind a balancer connections are also on their way from worker to worker when these are replaced."""
    gateway = make_postern([server], listener=listener)
    taken, faults, is_over = [], [], threading.Event()

    def send(address):
        while not is_over.is_set():
            try:
                reply = deliver(gateway, subject, address, proxy_v1(address) if listener else b"")
                (taken if reply == 250 else faults).append(reply)
            except (Closed, OSError) as fault:
                faults.append(fault)
    senders = [threading.Thread(target=send, args=(address,)) for address in ADDRESSES[:6]]
    for sender in senders:
        sender.start()
    for _ in range(4):
        gateway.reload()
    is_over.set()
    for sender in senders:
        sender.join()
    assert not faults and len(taken) == len(server.messages)


@pytest.mark.parametrize("broken, expected", [
    ("hostnam mx.example.com", r":(\d+):1: error: unknown option 'hostnam'; did you mean 'hostname'\?"),
    ("limits { recipients many }", r":(\d+):\d+: error: "),
    ("bare_newline perhaps", r":(\d+):14: error: ")])
def test_a_configuration_that_does_not_load_changes_nothing_and_reload_says_where(
        broken, expected, make_postern, server, subject):
    gateway = make_postern([server])
    workers = gateway.worker_pids()
    with open(gateway.conf, "a", encoding="utf-8") as file:
        file.write(broken + "\n")
    last_line = sum(1 for _ in open(gateway.conf, encoding="utf-8"))
    for _ in range(2):
        done = gateway.command("reload")
        assert done.returncode == 1
        assert int(re.search(re.escape(gateway.conf) + expected, done.stdout)[1]) == last_line
    assert gateway.worker_pids() == workers and gateway.status()["last_reload_failed"]
    assert gateway.command("status", "--check").returncode == 1
    assert deliver(gateway, subject) == 250
    assert gateway.command("check").returncode == 1
    gateway.configure()
    gateway.reload()
    assert not gateway.status()["last_reload_failed"]


def test_a_reload_changes_listeners_and_workers(make_postern, server, subject):
    gateway = make_postern([server])
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]
    other.close()
    gateway.configure(listen=f"127.0.0.1:{port}", workers=3)
    with Client(gateway.address) as client:
        gateway.reload()
        assert len([worker for worker in gateway.status()["workers"] if worker["state"] == "ready"]) == 3
        eventually(lambda: refuses(gateway.address), "nobody listens there any more")
        assert client.ehlo() == 250
    gateway.address = ("127.0.0.1", port)
    assert deliver(gateway, subject) == 250


# ---- stop

def test_sigterm_finishes_an_open_transaction_and_turns_others_away(make_postern, server, subject):
    gateway = make_postern([server])
    with Client(gateway.address) as in_data, Client(gateway.address) as idle, Client(gateway.address) as in_mail:
        for client in (in_data, idle, in_mail):
            client.ehlo()
        in_data.envelope("anna@example.com")
        in_data.command("DATA")
        in_mail.envelope("anna@example.com")
        gateway.send_signal(signal.SIGTERM)
        gateway.wait_log("draining: SIGTERM")
        assert idle.reply() == "421 4.3.2"
        eventually(lambda: refuses(gateway.address), "new clients are refused by the kernel")
        in_data.send(message(subject) + b".\r\n")
        assert in_data.reply() == 250
        assert in_mail.data(message(subject)) == 250
        assert in_mail.command("MAIL FROM:<a@client.example.net>") == "421 4.3.2"
        in_data.quit()
    assert gateway.wait() == 0
    assert len(server.messages) == 2


def test_sigterm_waits_for_the_mailbox_servers_answer(make_postern, make_server, subject):
    gate = Gate()
    server = make_server(behave={"END": gate})
    gateway = make_postern([server])
    with Client(gateway.address) as client:
        client.ehlo()
        client.envelope("anna@example.com")
        client.command("DATA")
        client.send(message(subject) + b".\r\n")
        assert gate.reached.wait(10)
        gateway.send_signal(signal.SIGTERM)
        gateway.wait_log("draining: SIGTERM")
        assert gateway.is_running()
        gate.open()
        assert client.reply() == 250


def test_a_stop_that_is_asked_for_again_and_again_is_no_failure(make_postern, server):
    gateway = make_postern([server])
    while gateway.is_running():
        gateway.send_signal(signal.SIGTERM)
    assert gateway.wait() == 0


def test_drain_limit_ends_what_does_not_end_by_itself(make_postern, server):
    gateway = make_postern([server], timeouts={"drain_limit": "300ms"})
    with Client(gateway.address) as client:
        client.ehlo()
        client.envelope("anna@example.com")
        client.command("DATA")
        began = time.monotonic()
        gateway.send_signal(signal.SIGTERM)
        assert client.reply() == "421 4.3.2"
        assert gateway.wait() == 0
        assert time.monotonic() - began >= 0.3


def test_old_workers_end_at_drain_limit_after_a_reload(make_postern, server):
    gateway = make_postern([server], timeouts={"drain_limit": "300ms"})
    with Client(gateway.address) as client:
        client.ehlo()
        gateway.reload()
        assert client.reply() == "421 4.3.2"
    eventually(lambda: len(gateway.status()["workers"]) == 2, "old workers ended")


def test_a_second_sigterm_stops_at_once(make_postern, server):
    gateway = make_postern([server])
    with Client(gateway.address) as client:
        client.ehlo()
        client.envelope("anna@example.com")
        client.command("DATA")
        gateway.send_signal(signal.SIGTERM)
        gateway.wait_log("draining: SIGTERM")
        gateway.send_signal(signal.SIGTERM)
        gateway.wait()
    assert not os.path.exists(os.path.join(gateway.folder, "control"))


# ---- supervisors, and other instances

def test_a_second_instance_is_refused_and_the_first_one_goes_on(make_postern, server, subject):
    gateway = make_postern([server])
    second = gateway.command("run")
    assert second.returncode == 1 and "another postern answers on" in second.stdout
    with open(gateway.conf, encoding="utf-8") as file:
        text = file.read().replace(os.path.join(gateway.folder, "control"), os.path.join(gateway.folder, "control2"))
    with open(gateway.conf + "2", "w", encoding="utf-8") as file:
        file.write(text)
    third = subprocess.run([PROGRAM, "run", "-c", gateway.conf + "2"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert third.returncode == 1 and f"127.0.0.1:{gateway.port}" in third.stdout
    assert deliver(gateway, subject) == 250


def test_a_killed_instance_leaves_nothing_that_hinders_the_next(make_postern, server, subject):
    gateway = make_postern([server])
    gateway.kill_all()
    gateway.start()
    assert deliver(gateway, subject) == 250


def test_a_socket_that_a_supervisor_opened_is_used_and_clients_still_belong_to_one_worker(
        make_postern, server, subject):
    gateway = make_postern([server], start=False, limits={"connections_client": 3})
    with socket.create_server(gateway.address, backlog=64) as listener:
        early = socket.create_connection(gateway.address)
        gateway.start(socket=listener)
        assert early.recv(3) == b"220"
        for address in ADDRESSES:
            assert deliver(gateway, subject, address) == 250
        clients = [Client(gateway.address, source="127.0.1.99") for _ in range(4)]
        assert [client.greeting.code for client in clients] == [220, 220, 220, 421]
        for client in clients:
            client.close()
        gateway.reload()
        assert deliver(gateway, subject) == 250
        gateway.stop()
        early.close()
        with socket.create_connection(gateway.address):
            pass


def test_the_supervisor_is_told_of_readiness_reloads_and_the_end(make_postern, server, folder):
    path = os.path.join(folder, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(15)
        gateway = make_postern([server], environment={"NOTIFY_SOCKET": path})

        def told():
            return dict(line.split("=", 1) for line in notify.recv(4096).decode().splitlines())
        first = told()
        while "READY" not in first:
            first = told()
        assert first["READY"] == "1"
        gateway.hang_up()
        reloading = told()
        while "RELOADING" not in reloading:
            reloading = told()
        assert reloading["RELOADING"] == "1" and int(reloading["MONOTONIC_USEC"]) > 0
        assert told().get("READY") == "1"
        gateway.send_signal(signal.SIGTERM)
        last = told()
        while "STOPPING" not in last:
            last = told()
        assert last["STOPPING"] == "1"
        gateway.wait()


# ---- journal files

def test_a_journal_file_of_full_size_is_followed_by_a_new_one(make_postern, server):
    gateway = make_postern([server], workers=1, journal={"path": None, "rotate_size": "1M"}, start=False)
    gateway.configure(journal={"path": gateway.journal_folder, "rotate_size": "1M"})
    gateway.start()
    refusals = 0
    with Client(gateway.address) as client:
        client.ehlo()
        while refusals < 3500:
            assert client.envelope("anna@example.com") == 250
            client.send(b"RCPT TO:<nobody@example.com>\r\n" * 500)
            refusals += sum(client.reply() == "550 5.1.1" for _ in range(500))
            client.command("RSET")
        eventually(lambda: len(gateway.journal_files()) == 2, "a second file")
        client.envelope("last@example.com")
    gateway.stop()
    records = gateway.journal()
    assert sum(record["reply"]["code"] == 550 for record in records) == refusals + 1
    assert records[-1]["rcpt"] == "last@example.com"
    assert len({record["id"] for record in records}) == len(records)


def test_journal_files_of_earlier_days_are_compressed_and_the_oldest_removed(make_postern, server):
    gateway = make_postern([server], start=False)
    os.makedirs(gateway.journal_folder)
    earlier = time.strftime("postern-%Y%m%d-120000-001.jsonl", time.gmtime(time.time() - 3 * 86400))
    ancient = time.strftime("postern-%Y%m%d-120000-001.jsonl.zst", time.gmtime(time.time() - 40 * 86400))
    record = b'{"time":"2026-01-01T00:00:00.000Z","id":"0"}\n'
    for name, content, days in ((earlier, record * 10000, 3), (ancient, b"", 40)):
        path = os.path.join(gateway.journal_folder, name)
        with open(path, "wb") as file:
            file.write(content)
        os.utime(path, (time.time() - days * 86400,) * 2)
    gateway.start()
    eventually(lambda: os.path.exists(os.path.join(gateway.journal_folder, earlier + ".zst")), "compressed")
    names = eventually(lambda: [n for n in os.listdir(gateway.journal_folder)] if not os.path.exists(
        os.path.join(gateway.journal_folder, earlier)) else None, "the plain one removed")
    assert ancient not in names
    with open(os.path.join(gateway.journal_folder, earlier + ".zst"), "rb") as file:
        compressed = file.read()
    assert compressed.startswith(b"\x28\xb5\x2f\xfd") and len(compressed) < len(record) * 100
