"""What a worker is left with, seen from outside, and that nobody is stranded between two generations of them."""
import os
import re
import shutil
import subprocess

import pytest

from lib.client import Client, proxy_v1
from lib.postern import PROGRAM

BALANCER = "127.0.0.1"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SANDBOX_CALLS = {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp"}


@pytest.fixture
def server(make_server):
    return make_server()


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return dict(re.findall(r"^(\w+):[ \t]*(.*?)[ \t]*$", file.read(), re.MULTILINE))


def test_a_worker_has_no_rights_and_no_descriptor_of_the_master(make_postern, server):
    gateway = make_postern([server])
    for pid in gateway.worker_pids():
        status = status_of(pid)
        assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        if os.geteuid() != 0:
            continue
        assert "0" not in status["Uid"].split() + status["Gid"].split()
        assert status["Groups"] == ""
        assert os.stat(f"/proc/{pid}/fd").st_uid == 0  # not dumpable
        for name in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            assert "inotify" not in target and not target.endswith((".pem", ".key", "postern.conf"))


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
