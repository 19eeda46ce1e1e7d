"""A process that stands still is logged with what it was doing, ended and replaced, and the others go on meanwhile.

SIGSTOP makes one stand still: it does not turn its loop, and nothing else tells the master so.
"""
import os
import re
import signal
import socket

import pytest

from lib.client import Client, message
from lib.wait import eventually

WATCHDOG = {"watchdog": "2s"}
STANDS_STILL = r"stands still for \d+ s and is ended: pid=%d doing=(.*)$"
ADDRESSES = [f"127.0.1.{number}" for number in range(1, 9)]


@pytest.fixture
def server(make_server):
    return make_server()


def deliver(gateway, subject, source):
    with Client(gateway.address, source=source) as client:
        client.ehlo()
        client.envelope("anna@example.com")
        return client.data(message(subject))


def test_a_worker_that_stands_still_is_replaced_while_others_go_on(make_postern, server, subject):
    gateway = make_postern([server], timeouts=WATCHDOG)
    stuck = gateway.worker_pids()[0]
    gateway.expected_deaths += 1
    before = len(gateway.log())
    os.kill(stuck, signal.SIGSTOP)
    clients = [Client(gateway.address, source=address, greeted=False) for address in ADDRESSES]
    found = gateway.wait_log(STANDS_STILL % stuck, before)
    assert found[1] == "waiting"
    gateway.wait_log(r"worker \d+ replaced: ", before)
    for client in clients:  # of the other worker, and those that waited for the one that was stuck
        assert client.reply() == 220
        client.close()
    for address in ADDRESSES:
        assert deliver(gateway, subject, address) == 250
    assert len(re.findall(STANDS_STILL % stuck, gateway.log(), re.MULTILINE)) == 1
    assert gateway.status()["worker_deaths"] == 1


def test_the_store_that_stands_still_is_replaced(make_postern, server, folder):
    gateway = make_postern([server], timeouts={"watchdog": "1s"},
                           store={"path": os.path.join(folder, "store", "greylist.db")})

    def ready_store():
        store = gateway.status()["store"]
        return store and store["state"] == "ready" and store["pid"]

    pid = eventually(ready_store, "the store is ready")
    os.kill(pid, signal.SIGSTOP)
    gateway.wait_log("the store " + STANDS_STILL % pid)
    eventually(lambda: ready_store() not in (None, False, pid), "another one is ready")


def test_a_worker_that_may_leave_a_core_file_is_aborted_or_killed(make_postern, server):
    """A stopped process does not hear SIGABRT, so it is killed in the end."""
    gateway = make_postern([server], timeouts={"watchdog": "1s"}, watchdog_core="yes")
    stuck = gateway.worker_pids()[0]
    assert os.stat(f"/proc/{stuck}/fd").st_uid == os.stat(f"/proc/{stuck}").st_uid
    gateway.expected_deaths += 1
    os.kill(stuck, signal.SIGSTOP)
    gateway.wait_log(STANDS_STILL % stuck)
    gateway.wait_log(rf"worker \d+ died: pid={stuck} signal=(6|9) ")


def test_the_master_tells_its_supervisor_that_it_lives(make_postern, server, folder):
    path = os.path.join(folder, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(path)
        notified.settimeout(20)
        make_postern([server], environment={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"})
        heard = []
        while "READY=1" not in heard or heard.count("WATCHDOG=1") < 3:
            heard.append(notified.recv(4096).decode())
