"""The store process: killed, stopped, without room, with a broken file, over a reload. Mail goes on, and whoever is
known stays known."""
import itertools
import os
import re
import signal
import sqlite3
import subprocess
import threading
import time

import pytest

from lib.client import Client
from lib.program import is_alive, is_root, kill
from lib.wait import eventually

GREYLISTED, AWAY, TAKEN = "451 4.7.1", "451 4.3.0", 250
RULES = 'layer greylist {\n    greylist "ALL" when not rcpt.postmaster\n}\n'
numbers = itertools.count()


def new_sender():
    return f"s{next(numbers)}@example.net"


def rcpt(gateway, sender):
    """The answer to an envelope from that sender."""
    with Client(gateway.address) as client:
        client.ehlo()
        client.command(f"MAIL FROM:<{sender}>")
        return client.command("RCPT TO:<anna@example.com>")


def greylist_status(gateway, sender):
    """What the last decision about a sender says."""
    def find():
        statuses = [record.get("greylist") for record in gateway.journal() if record.get("sender") == sender]
        return statuses[-1] if len(statuses) == asked[sender] else None
    return eventually(find, f"a record about {sender}")


asked = {}


def ask(gateway, sender):
    asked[sender] = asked.get(sender, 0) + 1
    return rcpt(gateway, sender)


def known_sender(gateway):
    """One that has waited and passed."""
    sender = new_sender()
    assert ask(gateway, sender) == GREYLISTED
    eventually(lambda: ask(gateway, sender) == TAKEN, "the delay is over")
    return sender


def store_of(gateway):
    return gateway.status()["store"]


def ready_store(gateway):
    return eventually(lambda: (store := store_of(gateway)) and store["state"] == "ready" and store, "a store is ready")


def serves(gateway):
    """Workers are connected to a store that records."""
    return eventually(lambda: ask(gateway, new_sender()) == GREYLISTED, "the store answers")


@pytest.fixture
def make_gateway(folder, make_server, make_postern):
    """A gateway that greylists everyone; keywords are those of Postern, `store` and `delay` apart."""
    rules = os.path.join(folder, "policy")
    with open(rules, "w", encoding="utf-8") as file:
        file.write(RULES)

    def make(store=None, delay="1h", start=True, **options):
        path = os.path.join(folder, "store", "greylist.db")
        gateway = make_postern([make_server()], policy=rules, dns={"use": "off"},
                               greylist={"delay": delay, "new_per_network": 0},
                               store={"path": path, **(store or {})}, start=start, **options)
        gateway.store_path = (store or {}).get("path", path)
        if start:
            ready_store(gateway)
        return gateway
    return make


def columns(gateway, sql):
    database = sqlite3.connect(gateway.store_path)
    try:
        return database.execute(sql).fetchall()
    finally:
        database.close()


# ---- in order

def test_who_waits_passes_and_status_shows_it(make_gateway):
    gateway = make_gateway(delay="1s")
    sender = known_sender(gateway)
    assert greylist_status(gateway, sender) == "retry"
    assert ask(gateway, sender) == TAKEN
    assert greylist_status(gateway, sender) == "cached"
    store = store_of(gateway)
    assert (store["local"], store["shared"], store["unavailable"], store["deaths"]) == ("up", "off", 0, 0)
    assert store["asked"] >= 3 and store["batches"] >= 3
    assert "\nstore " in gateway.command("status").stdout
    assert gateway.command("status", "--check").stdout.startswith("POSTERN OK")


def test_the_end_leaves_a_whole_file_and_no_process(make_gateway):
    gateway = make_gateway()
    pid = store_of(gateway)["pid"]
    senders = [new_sender() for _ in range(20)]
    for sender in senders:
        assert ask(gateway, sender) == GREYLISTED
    gateway.stop()
    assert not is_alive(pid)
    assert not os.path.exists(gateway.store_path + "-wal")
    assert columns(gateway, "SELECT count(*) FROM grey")[0][0] >= 20
    names = {row[0] for row in columns(gateway, "SELECT sender FROM names WHERE sender IS NOT NULL")}
    assert names >= set(senders)


def test_the_process_has_no_rights_but_its_folder(make_gateway):
    gateway = make_gateway()
    pid = store_of(gateway)["pid"]
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        status = dict(re.findall(r"^(\w+):[ \t]*(.*?)[ \t]*$", file.read(), re.MULTILINE))
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    assert int(status["CapEff"], 16) == 0
    if not is_root():
        return
    assert "0" not in status["Uid"].split() + status["Gid"].split()
    assert os.stat(os.path.dirname(gateway.store_path)).st_mode & 0o777 == 0o700
    targets = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    assert not [target for target in targets if "inotify" in target or target.endswith((".jsonl", ".cdb"))]


# ---- reload

def test_a_reload_keeps_the_process_and_new_workers_reach_it(make_gateway):
    gateway = make_gateway()
    pid, sender = store_of(gateway)["pid"], new_sender()
    assert ask(gateway, sender) == GREYLISTED
    before = set(gateway.worker_pids())
    gateway.configure(limits={"recipients": 500})
    gateway.reload()
    assert not before & set(gateway.worker_pids())
    assert ask(gateway, sender) == GREYLISTED
    assert greylist_status(gateway, sender) == "early"
    assert store_of(gateway)["pid"] == pid


def test_a_changed_delay_reaches_the_running_process(make_gateway):
    gateway = make_gateway()
    pid, sender = store_of(gateway)["pid"], new_sender()
    assert ask(gateway, sender) == GREYLISTED
    gateway.configure(greylist={"delay": "0s"})
    gateway.reload()
    assert ask(gateway, sender) == TAKEN
    assert greylist_status(gateway, sender) == "retry"
    assert store_of(gateway)["pid"] == pid


def test_a_network_that_floods_it_adds_few_rows_and_a_good_sender_passes(make_gateway):
    gateway = make_gateway(workers=1)
    gateway.configure(greylist={"delay": "1h", "new_per_network": 20})
    gateway.reload()
    for _ in range(60):
        assert ask(gateway, new_sender()) == GREYLISTED
    sender = new_sender()
    assert ask(gateway, sender) == GREYLISTED
    store = eventually(lambda: (store := store_of(gateway))["grouped"] >= 40 and store, "the bound is reached")
    assert store["crowded"] == 1
    eventually(lambda: "new_per_network" in gateway.command("status", "--check").stdout, "monitoring hears of it")
    assert len(gateway.find_all_log("127.0.0.0/24 has had 20 new triplets")) == 1
    gateway.configure(greylist={"delay": "0s", "new_per_network": 20})
    gateway.reload()
    assert ask(gateway, sender) == TAKEN


def test_a_file_that_is_removed_comes_back(make_gateway):
    gateway = make_gateway()
    sender, meanwhile = new_sender(), new_sender()
    assert ask(gateway, sender) == GREYLISTED
    for suffix in ("", "-wal", "-shm"):
        os.unlink(gateway.store_path + suffix)
    assert ask(gateway, meanwhile) == GREYLISTED
    eventually(lambda: gateway.find_all_log("its file is there again"), "the file comes back", 30)
    assert os.path.exists(gateway.store_path)
    for each in (sender, meanwhile):
        assert ask(gateway, each) == GREYLISTED
        assert greylist_status(gateway, each) == "early"
    assert store_of(gateway)["unavailable"] == 0


def test_changed_options_start_it_anew(make_gateway):
    gateway = make_gateway()
    pid, sender = store_of(gateway)["pid"], new_sender()
    assert ask(gateway, sender) == GREYLISTED
    gateway.configure(store={"path": gateway.store_path, "sync": "always"})
    gateway.reload()
    assert eventually(lambda: store_of(gateway)["pid"] not in (0, pid) and ready_store(gateway), "another store")
    assert serves(gateway)
    assert ask(gateway, sender) == GREYLISTED
    assert greylist_status(gateway, sender) == "early"
    assert store_of(gateway)["deaths"] == 0


def test_a_store_comes_and_goes_with_the_configuration(make_gateway):
    gateway = make_gateway(start=False)
    store = gateway.options["store"]
    gateway.configure(store=None)
    gateway.start()
    assert gateway.status()["store"] is None
    assert ask(gateway, new_sender()) == TAKEN
    gateway.configure(store=store)
    gateway.reload()
    assert serves(gateway)
    pid = store_of(gateway)["pid"]
    gateway.configure(store=None)
    gateway.reload()
    eventually(lambda: not is_alive(pid), "the store has ended")
    assert ask(gateway, new_sender()) == TAKEN


# ---- it dies

class Traffic(threading.Thread):
    """New senders, one after the other, until stopped: what each was answered and how long that took."""

    def __init__(self, gateway):
        super().__init__()
        self.gateway, self.is_over = gateway, False
        self.replies, self.longest = {}, 0

    def run(self):
        while not self.is_over:
            sender, began = new_sender(), time.monotonic()
            self.replies[sender] = ask(self.gateway, sender)
            self.longest = max(self.longest, time.monotonic() - began)


@pytest.mark.parametrize("choice, away", [("pass", TAKEN), ("defer", AWAY)])
def test_killed_in_the_middle_of_traffic_it_forgets_nobody(make_gateway, choice, away):
    gateway = make_gateway(on_failure={"greylist": choice})
    traffic = [Traffic(gateway) for _ in range(4)]
    for thread in traffic:
        thread.start()
    for kills in range(5):
        eventually(lambda: ready_store(gateway)["uptime_ms"] >= 1000, "it has lived for a second")
        kill(store_of(gateway)["pid"])
        eventually(lambda: store_of(gateway)["deaths"] == kills + 1, "its death is seen")
    serves(gateway)
    for thread in traffic:
        thread.is_over = True
        thread.join()
    replies = {sender: reply for thread in traffic for sender, reply in thread.replies.items()}
    greylisted = [sender for sender, reply in replies.items() if reply == GREYLISTED]
    assert all(reply in (GREYLISTED, away) for reply in replies.values())
    assert max(thread.longest for thread in traffic) < 10
    gateway.stop()
    names = {row[0] for row in columns(gateway, "SELECT sender FROM names")}
    rows = columns(gateway, "SELECT count(*) FROM grey")[0][0]
    assert rows >= len(greylisted) > 100  # names may be lost, rows may not
    assert names


def test_who_was_known_before_a_kill_is_known_after_it(make_gateway):
    gateway = make_gateway(delay="1s")
    sender = known_sender(gateway)
    kill(store_of(gateway)["pid"])
    serves(gateway)
    assert ask(gateway, sender) == TAKEN
    assert greylist_status(gateway, sender) == "cached"


def test_without_its_master_it_ends_after_the_workers(make_gateway):
    gateway = make_gateway()
    pids = [store_of(gateway)["pid"], *gateway.worker_pids()]
    with Client(gateway.address) as client:
        client.ehlo()
        client.envelope("anna@example.com")  # its worker does not leave mail that it has in hand
        gateway.process.kill()
        gateway.wait()
        assert is_alive(pids[0])
    eventually(lambda: not any(is_alive(pid) for pid in pids), "nothing is left running")


# ---- it is slow

@pytest.mark.parametrize("choice, away", [("pass", TAKEN), ("defer", AWAY)])
def test_a_stopped_store_is_given_up_in_time(make_gateway, choice, away):
    gateway = make_gateway(store={"timeout": "300ms"}, on_failure={"greylist": choice}, timeouts={"watchdog": 0})
    pid = store_of(gateway)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert ask(gateway, new_sender()) == away
        assert time.monotonic() - began >= 0.3
    finally:
        os.kill(pid, signal.SIGCONT)
    assert serves(gateway)


def test_a_stopped_store_holds_up_neither_a_reload_nor_the_end(make_gateway):
    gateway = make_gateway(store={"timeout": "300ms"}, timeouts={"watchdog": 0})
    os.kill(store_of(gateway)["pid"], signal.SIGSTOP)
    gateway.reload()
    assert ask(gateway, new_sender()) == TAKEN
    gateway.stop()
    assert gateway.find_log("the store did not end in time: sending SIGKILL")


# ---- its file

def start_with(gateway):
    gateway.start()
    ready_store(gateway)
    return gateway


def test_a_broken_file_is_told_and_mail_goes_on(make_gateway):
    gateway = make_gateway()
    gateway.stop()
    with open(gateway.store_path, "w", encoding="utf-8") as file:
        file.write("this is no database\n" * 500)
    start_with(gateway)
    assert ask(gateway, new_sender()) == TAKEN
    assert len(gateway.find_all_log(rf"error: .*{re.escape(gateway.store_path)}")) == 1
    assert "the local store is down" in gateway.command("status", "--check").stdout
    with open(gateway.store_path, encoding="utf-8") as file:
        assert file.read() == "this is no database\n" * 500  # it was not touched
    os.unlink(gateway.store_path)
    assert serves(gateway)  # without a restart
    assert gateway.find_log("the local store: in order again")


def test_a_file_of_a_newer_version_is_told_and_left_alone(make_gateway):
    gateway = make_gateway()
    gateway.stop()
    with sqlite3.connect(gateway.store_path) as database:
        database.execute("UPDATE meta SET value = '99' WHERE name = 'version'")
    database.close()
    start_with(gateway)
    assert ask(gateway, new_sender()) == TAKEN
    assert gateway.find_log(r"error: .*newer")


def test_a_folder_that_is_not_its_own_is_told(make_gateway, folder):
    if not is_root():
        pytest.skip("needs another user's folder")
    os.mkdir(os.path.join(folder, "store"), 0o755)
    gateway = start_with(make_gateway(start=False))
    assert ask(gateway, new_sender()) == TAKEN
    assert gateway.find_log(rf"error: .*{re.escape(gateway.store_path)}")


@pytest.fixture
def tiny(folder):
    """A folder of 1 MiB on a file system of its own."""
    path = os.path.join(folder, "tiny")
    os.mkdir(path)
    mounted = is_root() and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=1777", "tiny", path],
                                           stderr=subprocess.DEVNULL, check=False).returncode == 0
    if not mounted:
        pytest.skip("cannot mount a file system here")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_a_full_disk_is_told_and_who_is_known_stays_known(make_gateway, tiny):
    gateway = make_gateway(store={"path": os.path.join(tiny, "greylist.db")}, delay="1s")
    sender, filler = known_sender(gateway), os.path.join(tiny, "filler")
    with open(filler, "wb", buffering=0) as file:
        with pytest.raises(OSError):
            while True:
                file.write(b"x" * 512)
    eventually(lambda: ask(gateway, new_sender()) == TAKEN, "nothing more can be recorded")
    assert ask(gateway, sender) == TAKEN
    assert greylist_status(gateway, sender) == "cached"
    assert len(gateway.find_all_log(r"error: the local store: ")) == 1
    assert "the local store cannot be written" in gateway.command("status", "--check").stdout
    os.unlink(filler)
    assert serves(gateway)
    assert gateway.find_log("the local store: in order again")
