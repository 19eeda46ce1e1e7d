"""Tables whose files change while the service runs: running workers use the new ones, whole, or go on with the old."""
import os
import signal
import threading

import pytest
from lib.client import Client
from lib.program import is_alive, kill
from lib.wait import eventually

TAKEN_S = 25  # the master looks every 5 s, and waits until a file has settled
KINDS = {"clients": "cidr", "names": "names", "senders": "addresses", "patterns": "patterns"}
RULES = {"clients": "client in clients", "names": "helo.name in names", "senders": "sender.address in senders",
         "patterns": "rcpt.address in patterns"}
BEFORE = {"clients": "203.0.113.0/24\n", "names": "nobody.example\n", "senders": "nobody@example.net\n",
          "patterns": "^nobody\n"}
AFTER = {"clients": "127.9.0.0/16\n", "names": ".banned.example\n", "senders": "banned@\n", "patterns": "^carl@\n"}


def replace(path, text):
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)


@pytest.fixture
def paths(folder):
    paths = {name: os.path.join(folder, name) for name in KINDS}
    for name, path in paths.items():
        replace(path, BEFORE[name])
    return paths


@pytest.fixture
def gateway(make_postern, make_server, folder, paths):
    policy = os.path.join(folder, "tables-policy")
    replace(policy, "layer policy {\n" + "".join(f'reject "{name}" when {rule}\n' for name, rule in RULES.items()) +
            "}\n")
    tables = [(f"{name} {kind}", {"file": paths[name]}) for name, kind in KINDS.items()]
    return make_postern([make_server()], policy=policy, dns={"use": "off"}, table=tables)


def refused(gateway, source="127.0.0.1", helo="client.example.net", sender="a@client.example.net",
            recipient="anna@example.com"):
    with Client(gateway.address, source=source) as client:
        client.ehlo(helo)
        return client.envelope(recipient, sender=sender).code != 250


def outcomes(gateway):
    return [refused(gateway, source="127.9.1.2"), refused(gateway, helo="mx.banned.example"),
            refused(gateway, sender="banned@client.example.net"), refused(gateway, recipient="carl@example.com"),
            refused(gateway)]


def million_prefixes():
    """None of loopback, in no order."""
    numbers = ((n * 2654435761) % (1 << 24) for n in range(1000000))
    return "".join(f"{11 + (n >> 16) % 100}.{n >> 8 & 255}.{n & 255}.{n % 4 * 64}/26\n" for n in numbers)


def is_reader(pid):
    """The child of the master that reads a table: it has a copy to write."""
    try:
        return any("postern-table" in os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def stop_process(pid):
    """False: it ended before."""
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return False

    def state():
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    return eventually(lambda: state() in "TZ" and state(), "it stands") == "T"


def stopped_reader(gateway, path, text, begin=lambda: None):
    """Has the file read, by `begin` or because it has changed, and stops who reads it in the middle."""
    workers = set(gateway.worker_pids())
    for attempt in range(5):
        seen = len(gateway.log())
        replace(path, f"# {attempt}\n{text}")
        begin()

        def find():
            with open(f"/proc/{gateway.pid}/task/{gateway.pid}/children", encoding="utf-8") as file:
                readers = [int(pid) for pid in file.read().split() if int(pid) not in workers and is_reader(pid)]
            return readers or gateway.find_log("table clients taken", seen)
        found = eventually(find, "the file is read", TAKEN_S)
        if isinstance(found, list) and stop_process(found[0]):
            return found[0]
    raise AssertionError("whoever reads the table is too fast for this test")


class Reloads:
    """Calls `postern reload` and goes on."""

    def __init__(self, gateway):
        self.gateway, self.threads = gateway, []

    def begin(self):
        self.threads.append(threading.Thread(target=self.gateway.command, args=("reload",)))
        self.threads[-1].start()

    def wait(self):
        for thread in self.threads:
            thread.join()


def test_running_workers_take_new_tables_of_every_kind(gateway, paths):
    pids = gateway.worker_pids()
    assert outcomes(gateway) == [False] * 5
    for name, path in paths.items():
        replace(path, AFTER[name])
    eventually(lambda: outcomes(gateway) == [True] * 4 + [False], "the new tables are used", TAKEN_S)
    assert gateway.worker_pids() == pids
    assert "table clients taken: 1 entries" in gateway.log()


def test_a_bad_line_is_named_and_the_old_table_stays_as_it_does_without_a_file(gateway, paths):
    replace(paths["clients"], "127.9.0.0/16\n127.9.0.0/99\n")
    os.unlink(paths["names"])
    eventually(lambda: f"{paths['clients']}:2:1: error" in gateway.log(), "the line is named", TAKEN_S)
    eventually(lambda: f"table names: {paths['names']}: No such file" in gateway.log(), "it is missed", TAKEN_S)
    assert "table clients: the old one stays" in gateway.log()
    assert outcomes(gateway) == [False] * 5
    replace(paths["clients"], AFTER["clients"])
    replace(paths["names"], AFTER["names"])
    eventually(lambda: outcomes(gateway) == [True, True, False, False, False], "they are taken again", TAKEN_S)
    assert gateway.log().count(f"table names: {paths['names']}: No such file") == 1


def test_a_table_that_was_empty_is_a_reload(make_postern, make_server, folder):
    policy, path = os.path.join(folder, "policy-empty"), os.path.join(folder, "banned")
    replace(policy, 'layer policy { reject "BANNED" when client in banned }\n')
    replace(path, "# nobody yet\n")
    gateway = make_postern([make_server()], policy=policy, dns={"use": "off"},
                           table=("banned cidr", {"file": path}))
    pids = gateway.worker_pids()
    assert not refused(gateway)
    replace(path, "127.0.0.1\n")
    eventually(lambda: refused(gateway), "it is used", TAKEN_S)
    assert set(gateway.worker_pids()).isdisjoint(pids)


def test_a_million_prefixes_are_swapped_and_no_client_notices(gateway, paths):
    """Sessions come and go all the while; each is served."""
    failed, is_over = [], threading.Event()

    def come_and_go():
        while not is_over.is_set():
            try:
                if refused(gateway):
                    failed.append("refused")
            except (OSError, AssertionError, TimeoutError) as fault:
                failed.append(repr(fault))
    clients = [threading.Thread(target=come_and_go) for _ in range(4)]
    for client in clients:
        client.start()
    replace(paths["clients"], "127.9.0.0/16\n" + million_prefixes())
    try:
        eventually(lambda: refused(gateway, source="127.9.1.2"), "the new table is used", 3 * TAKEN_S)
    finally:
        is_over.set()
        for client in clients:
            client.join()
    assert failed == []


def test_while_a_table_is_read_the_master_answers_and_replaces_workers(gateway, paths):
    """However long it takes: the reader is stopped. A worker that starts later than the table has it all the same."""
    reader = stopped_reader(gateway, paths["clients"], "127.9.0.0/16\n" + million_prefixes())
    first = gateway.worker_pids()
    gateway.kill_worker(first[0])
    eventually(lambda: len(gateway.worker_pids()) == len(first), "the new worker is ready")
    assert outcomes(gateway) == [False] * 5
    os.kill(reader, signal.SIGCONT)
    eventually(lambda: outcomes(gateway) == [True] + [False] * 4, "the new table is used", TAKEN_S)
    for pid in gateway.worker_pids():
        gateway.kill_worker(pid)
    eventually(lambda: len(gateway.worker_pids()) == len(first), "the new workers are ready", TAKEN_S)
    assert outcomes(gateway) == [True] + [False] * 4
    assert not gateway.find_log("postern/master.*ERROR|cannot be used")


def test_while_a_reload_reads_a_table_the_master_answers_and_replaces_workers(gateway, paths):
    """And the new workers have the table from the start, as they have those that were taken before."""
    replace(paths["names"], AFTER["names"])
    eventually(lambda: outcomes(gateway) == [False, True, False, False, False], "one is taken before", TAKEN_S)
    reloads = Reloads(gateway)
    reader = stopped_reader(gateway, paths["clients"], "127.9.0.0/16\n" + million_prefixes(), reloads.begin)
    first = gateway.worker_pids()
    assert "a reload is under way" in gateway.command("reload").stdout
    gateway.kill_worker(first[0])
    eventually(lambda: len(gateway.worker_pids()) == len(first), "the new worker is ready")
    assert outcomes(gateway) == [False, True, False, False, False]
    before = set(gateway.worker_pids())
    os.kill(reader, signal.SIGCONT)
    reloads.wait()
    assert before.isdisjoint(gateway.worker_pids())
    assert outcomes(gateway) == [True, True, False, False, False]
    for _ in range(2):  # by the memory of what was read before, twice shared
        gateway.reload()
        assert outcomes(gateway) == [True, True, False, False, False]


def test_a_reload_with_a_bad_line_is_refused_and_the_next_one_is_not(gateway, paths):
    pids = gateway.worker_pids()
    replace(paths["clients"], "127.9.0.0/16\n127.9.0.0/99\n")
    done = gateway.command("reload")
    assert done.returncode != 0
    assert f"{paths['clients']}:2:1: error" in done.stdout
    assert gateway.worker_pids() == pids
    assert outcomes(gateway) == [False] * 5
    replace(paths["clients"], AFTER["clients"])
    gateway.reload()
    assert outcomes(gateway) == [True] + [False] * 4


def test_a_table_read_for_a_reload_that_is_refused_reaches_the_old_workers(gateway, paths):
    """It is good; something else is wrong."""
    pids = gateway.worker_pids()
    replace(paths["clients"], AFTER["clients"])
    gateway.configure(hostname="")
    assert gateway.command("reload").returncode != 0
    assert "table clients taken: 1 entries" in gateway.log()
    eventually(lambda: outcomes(gateway) == [True] + [False] * 4, "they have it", TAKEN_S)
    assert gateway.worker_pids() == pids


def test_a_service_that_stops_ends_the_reading_for_a_reload(gateway, paths):
    reloads = Reloads(gateway)
    reader = stopped_reader(gateway, paths["clients"], "127.9.0.0/16\n" + million_prefixes(), reloads.begin)
    gateway.stop()
    reloads.wait()
    assert not is_alive(reader)


def test_a_file_that_changes_while_it_is_read_is_read_again(gateway, paths):
    """Written over in place, where a rename would leave the reader what it had begun with."""
    reader = stopped_reader(gateway, paths["clients"], "127.0.0.0/8\n" + million_prefixes())
    with open(paths["clients"], "w", encoding="utf-8") as file:
        file.write("127.9.0.0/16\n203.0.113.0/24\n")
    os.kill(reader, signal.SIGCONT)
    eventually(lambda: outcomes(gateway) == [True] + [False] * 4, "the last one is used", TAKEN_S)
    assert "table clients taken: 2 entries" in gateway.log()
    assert "table clients taken: 1000001 entries" not in gateway.log()


def test_a_reader_that_dies_is_told_and_the_old_table_stays(gateway, paths):
    kill(stopped_reader(gateway, paths["clients"], "127.9.0.0/16\n" + million_prefixes()))
    gateway.wait_log("table clients: reading it was ended by signal 9; the old one stays")
    assert outcomes(gateway) == [False] * 5
    replace(paths["clients"], AFTER["clients"])
    eventually(lambda: outcomes(gateway) == [True] + [False] * 4, "the next one is used", TAKEN_S)


def test_a_service_that_stops_ends_who_reads(gateway, paths):
    reader = stopped_reader(gateway, paths["clients"], "127.9.0.0/16\n" + million_prefixes())
    gateway.stop()
    assert not is_alive(reader)


def test_what_is_no_file_of_lines_is_told_and_the_old_tables_stay(gateway, paths):
    for path in paths.values():
        os.unlink(path)
    os.mkdir(paths["clients"])
    os.mkfifo(paths["names"])
    with open(paths["senders"], "wb") as file:
        file.truncate((256 << 20) + 1)
    os.symlink(paths["patterns"], paths["patterns"])
    for name, why in {"clients": "cannot be read: Is a directory", "names": "cannot be read: not a regular file",
                      "senders": "cannot be read: File too large",
                      "patterns": "Too many levels of symbolic links"}.items():
        eventually(lambda path=paths[name], text=why: gateway.find_log(f"{path}.*{text}"), f"{name} is told", TAKEN_S)
    assert outcomes(gateway) == [False] * 5
    os.rmdir(paths["clients"])
    for name, path in paths.items():
        replace(path, AFTER[name])
    eventually(lambda: outcomes(gateway) == [True] * 4 + [False], "files are taken again", TAKEN_S)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_table_that_may_not_be_read_is_told_and_the_old_one_stays(gateway, paths):
    replace(paths["clients"], AFTER["clients"])
    os.chmod(paths["clients"], 0)
    told = "table clients: .*: Permission denied; the old one stays"
    eventually(lambda: gateway.find_log(told), "it is told", TAKEN_S)
    assert outcomes(gateway) == [False] * 5
