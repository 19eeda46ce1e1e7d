"""What a worker is left with, seen from outside, and that nobody is stranded between two generations of them."""
import os
import re
import shutil
import signal
import subprocess

import pytest

from lib.client import Client, proxy_v1
from lib.postern import PROGRAM
from lib.wait import eventually

BALANCER = "127.0.0.1"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SANDBOX_CALLS = {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp"}


@pytest.fixture
def server(make_server):
    return make_server()


def secrets_of(certificate):
    """What a private key looks like in memory: its number as OpenSSL keeps it and as a file does, and the file's
    text."""
    told = subprocess.run(["openssl", "pkey", "-in", certificate.key, "-noout", "-text"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    shown = re.search(r"(?:priv|prime1):\n((?: +[0-9a-f:]+\n)+)", told)[1]
    number = bytes.fromhex(re.sub(r"[\s:]", "", shown)).lstrip(b"\0")
    with open(certificate.key, "rb") as file:
        lines = [line.strip() for line in file if b"-----" not in line]
    return {"number": number[::-1], "in DER": number, "in PEM": lines[1]}


def found_in_memory(pid, secrets):
    """Names of those that stand anywhere in a process's memory."""
    found = set()
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            if line.split()[1].startswith("rw"):
                memory.seek(start)
                part = memory.read(end - start)
                found |= {name for name, secret in secrets.items() if secret in part}
    return found


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return dict(re.findall(r"^(\w+):[ \t]*(.*?)[ \t]*$", file.read(), re.MULTILINE))


def test_a_worker_has_no_rights_and_no_descriptor_of_the_master(make_postern, server):
    gateway = make_postern([server])
    for pid in gateway.worker_pids():
        status = status_of(pid)
        assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapInh"], 16) == 0
        assert int(status["CapAmb"], 16) == 0
        if os.geteuid() != 0:
            continue
        assert "0" not in status["Uid"].split() + status["Gid"].split()
        assert status["Groups"] == ""
        assert int(status["CapBnd"], 16) == 0
        assert os.stat(f"/proc/{pid}/fd").st_uid == 0  # not dumpable
        for name in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            assert "inotify" not in target and not target.endswith((".pem", ".key", "postern.conf"))


def files_of(pid):
    return [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        return [int(child) for child in file.read().split()]


@pytest.mark.skipif(os.geteuid() != 0, reason="looks at the descriptors of another process")
def test_only_the_journal_process_holds_journal_files_and_it_has_no_rights(make_postern, server):
    gateway = make_postern([server], workers=2)
    children = children_of(gateway.process.pid)
    holders = {pid: [name for name in files_of(pid) if name.endswith(".jsonl")] for pid in children}
    assert all(not holders[pid] for pid in gateway.worker_pids())
    keepers = [pid for pid in children if holders[pid]]
    assert len(keepers) == 1 and len(holders[keepers[0]]) == 2
    status = status_of(keepers[0])
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert "0" not in status["Uid"].split() + status["Gid"].split()


def test_records_of_workers_go_on_when_the_journal_process_dies(make_postern, server):
    gateway = make_postern([server], workers=1)
    with Client(gateway.address) as client:
        client.ehlo()
        client.envelope("before@example.com")
        gateway.wait_journal(rcpt="before@example.com")
        keeper = [pid for pid in children_of(gateway.process.pid) if pid not in gateway.worker_pids()]
        os.kill(keeper[0], signal.SIGKILL)
        client.command("RCPT TO:<between@example.com>")
        gateway.wait_log(r"journal process died: pid=\d+ signal=9")
        gateway.wait_journal(rcpt="between@example.com")
        client.quit()
    gateway.stop()
    assert [r["rcpt"] for r in gateway.journal() if "rcpt" in r] == ["before@example.com", "between@example.com"]


@pytest.mark.skipif(os.geteuid() != 0, reason="looks into the memory of another process")
def test_the_store_process_has_no_private_key(make_postern, server, authority, folder):
    certificates = [authority.issue("mx.example.com", "ecdsa"), authority.issue("mx.example.org", "rsa")]
    store = {"path": os.path.join(folder, "store", "greylist.db")}
    gateway = make_postern([server], tls={"certificate": [str(c) for c in certificates]}, store=store)

    def ready_store():
        found = gateway.status()["store"]
        return found and found["state"] == "ready" and found["pid"]

    pid = eventually(ready_store, "the store is ready")
    for secrets in map(secrets_of, certificates):
        assert "number" in found_in_memory(gateway.worker_pids()[0], secrets)  # which need it
        assert not found_in_memory(pid, secrets)
    gateway.reload()
    os.kill(pid, signal.SIGKILL)
    next_pid = eventually(lambda: (found := ready_store()) != pid and found, "another one is ready")
    for secrets in map(secrets_of, certificates):
        assert not found_in_memory(next_pid, secrets)


def test_the_unit_lets_workers_lock_themselves_in():
    with open(os.path.join(ROOT, "etc", "postern.service"), encoding="utf-8") as file:
        calls = re.search(r"^SystemCallFilter=(.*)$", file.read(), re.MULTILINE).group(1).split()
    assert SANDBOX_CALLS <= set(calls)


def test_a_proxy_header_behind_a_reload_still_finds_its_worker(make_postern, server):
    gateway = make_postern([server], listener={"proxy_from": BALANCER})
    early = [Client(gateway.address, greeted=False) for _ in range(16)]
    gateway.reload()
    for n, client in enumerate(early):
        client.send(proxy_v1(f"203.0.113.{n}"))
    for client in early:
        assert client.reply().code == 220
        client.close()


def test_the_program_is_built_to_resist():
    if not shutil.which("readelf"):
        pytest.skip("needs readelf")
    done = subprocess.run(["readelf", "-hldW", PROGRAM], stdout=subprocess.PIPE, text=True, check=True)
    assert re.search(r"Type:\s+DYN", done.stdout)
    assert "GNU_RELRO" in done.stdout and "BIND_NOW" in done.stdout
    assert re.search(r"GNU_STACK.* RW ", done.stdout)
