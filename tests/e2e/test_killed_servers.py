"""kill -9 of mailbox servers in the middle of deliveries: what was acknowledged has arrived."""
import os
import random
import socket
import subprocess
import sys

import pytest

from lib.load import Senders, numbers
from lib.ports import LOOPBACK, free_port
from lib.program import is_alive, kill
from lib.wait import eventually

SENDERS = 20
KILLS = 30
SMTPD_KILLS = 15
IMPATIENT = {"service_throttle_time": "1s"}  # how long master waits with a service whose process died
RECORDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", "recorder.py")


class Recorder:
    """The recording server, killed and started again on one listening socket."""

    def __init__(self, folder):
        self.file = os.path.join(folder, "recorded")
        self.listener = socket.socket()
        self.listener.bind((LOOPBACK, free_port()))
        self.listener.listen(128)
        self.process = None
        self.start()

    def __str__(self):
        return f"{LOOPBACK}:{self.listener.getsockname()[1]}"

    def start(self):
        fd = self.listener.fileno()
        self.process = subprocess.Popen([sys.executable, "-SE", RECORDER, str(fd), self.file], pass_fds=[fd],
                                        stdin=subprocess.DEVNULL)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        self.listener.close()

    def subjects(self):
        try:
            with open(self.file, encoding="ascii") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []


@pytest.fixture
def recorder(folder):
    server = Recorder(folder)
    yield server
    server.close()


def test_no_acknowledged_message_is_lost_when_the_mailbox_server_is_killed(recorder, make_postern, capsys):
    choice = random.Random(3)
    gateway = make_postern([recorder])
    with Senders(gateway.address, SENDERS) as senders:
        for _ in range(KILLS):
            target = len(senders.acknowledged) + choice.randint(1, 60)
            eventually(lambda n=target: len(senders.acknowledged) >= n, "deliveries go on")
            recorder.kill()
            recorder.start()
        done = len(senders.acknowledged)
        eventually(lambda: len(senders.acknowledged) > done + SENDERS, "deliveries go on after the last kill")
    arrived = numbers(recorder.subjects())
    with capsys.disabled():
        print(f"\nmailbox server killed {KILLS} times: {senders.account(arrived)}")
    assert not senders.missing(arrived)
    assert not senders.unexplained(arrived)
    assert sum(senders.refused.values()) > 0, "no kill met a delivery"


# ---- the real one

def children(pid, name):
    """Process ids of that master's children of that name ('': of any)."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                head, _, rest = file.read().rpartition(")")
        except (OSError, ValueError):
            continue
        if entry.isdigit() and rest.split()[1] == str(pid) and head.partition("(")[2].startswith(name):
            found.append(int(entry))
    return found


@pytest.fixture(scope="module")
def mortal_postfix(make_postfix):
    return make_postfix("mortal", **IMPATIENT)


def mails(postfix):
    return [mail["Subject"] for mail in postfix.arrived() if (mail["Subject"] or "").startswith("number ")]


def queue_is_empty(postfix):
    """Postfix marks the files of complete messages as executable; others belong to senders that heard no 250."""
    paths = [os.path.join(folder, name) for queue in ("incoming", "active", "maildrop", "deferred")
             for folder, _, names in os.walk(os.path.join(postfix.folder, "queue", queue)) for name in names]
    return not any(os.access(path, os.X_OK) for path in paths)


def kill_one(pid):
    """kill -9 of a process that may have ended by itself."""
    try:
        kill(pid)
    except ProcessLookupError:
        pass


def test_no_acknowledged_message_is_lost_when_postfix_processes_are_killed(mortal_postfix, make_postern, capsys):
    choice = random.Random(4)
    gateway = make_postern([mortal_postfix])
    with Senders(gateway.address, SENDERS) as senders:
        for _ in range(SMTPD_KILLS):
            target = len(senders.acknowledged) + choice.randint(1, 12)
            eventually(lambda n=target: len(senders.acknowledged) >= n, "deliveries go on", 30)
            kill_one(choice.choice(eventually(lambda: children(mortal_postfix.pid, "smtpd"), "an smtpd runs")))
    eventually(lambda: queue_is_empty(mortal_postfix), "all mail delivered", 30)
    arrived = numbers(mails(mortal_postfix))
    with capsys.disabled():
        print(f"\nsmtpd killed {SMTPD_KILLS} times: {senders.account(arrived)}")
    assert not senders.missing(arrived)
    assert not senders.unexplained(arrived)


def test_no_acknowledged_message_is_lost_when_all_of_postfix_is_killed(make_postfix, make_postern, capsys):
    """As in a power cut: master and all its children. (Postfix itself may then deliver what it holds twice, so nothing
    is said about duplicates.)"""
    postfix = make_postfix("power", **IMPATIENT)
    gateway = make_postern([postfix])
    with Senders(gateway.address, SENDERS) as senders:
        for _ in range(2):
            target = len(senders.acknowledged) + 30
            eventually(lambda n=target: len(senders.acknowledged) >= n, "deliveries go on", 30)
            family = children(postfix.pid, "")
            for pid in [postfix.pid, *family]:
                if is_alive(pid):
                    kill_one(pid)
            postfix.start()
        target = len(senders.acknowledged) + SENDERS
        eventually(lambda: len(senders.acknowledged) >= target, "deliveries go on", 30)
    eventually(lambda: queue_is_empty(postfix), "all mail delivered", 30)
    arrived = numbers(mails(postfix))
    with capsys.disabled():
        print(f"\nall of Postfix killed twice: {senders.account(arrived)}")
    assert not senders.missing(arrived)
