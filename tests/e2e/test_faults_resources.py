"""A full disk, a full journal, no descriptors: the mail that can go on goes on, the rest is deferred, nobody hangs."""
import json
import os
import shlex
import stat
import subprocess

import pytest

import lib.postern
from lib.client import Client, message
from lib.deliver import RECIPIENT, send, send_until_taken, subjects
from lib.load import AFTER_HELLO, Crowd, Senders, numbers
from lib.program import is_root
from lib.wait import eventually

KIB = 1024


def filled(size):
    """Lines of that many bytes, nearly."""
    return b"0123456789abcdef\r\n" * (size // 18)


@pytest.fixture
def tiny(folder, request):
    """A folder of 1 MiB, or as large as the test says, on a file system of its own."""
    size = getattr(request, "param", "1m")
    path = os.path.join(folder, "tiny")
    os.mkdir(path)
    mounted = is_root() and subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "tiny", path],
                                           stderr=subprocess.DEVNULL, check=False).returncode == 0
    if not mounted:
        pytest.skip("cannot mount a file system here")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def fill_up(path):
    """Takes all the room that is left there."""
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * KIB)
        except OSError:
            pass


# ---- the spool

def test_a_full_spool_defers_the_message_and_nothing_else(tiny, make_server, make_postern):
    server = make_server()
    gateway = make_postern([server], spool_path=tiny, limits={"memory_spool": "64K"}, workers=1)
    with Client(gateway.address) as patient:
        patient.ehlo()
        patient.envelope(RECIPIENT)
        patient.command("DATA")
        patient.send(message("patient", filled(400 * KIB)))
        reply = send(gateway, "too much", body=filled(3 * KIB * KIB))
        assert reply == "452 4.3.1" and reply.id
        assert send(gateway, "small") == 250
        patient.send(b"the end\r\n.\r\n")
        assert patient.reply() == 250
    assert send(gateway, "recovered", body=filled(700 * KIB)) == 250
    assert subjects(server) == ["small", "patient", "recovered"]
    assert server.messages[1].body == filled(400 * KIB) + b"the end\r\n"


def test_a_session_goes_on_after_452_by_data_and_by_bdat(tiny, make_server, make_postern):
    server = make_server()
    gateway = make_postern([server], spool_path=tiny, limits={"memory_spool": "64K"}, workers=1)
    large = message("large", filled(2 * KIB * KIB))
    with Client(gateway.address) as client:
        client.ehlo()
        assert client.envelope(RECIPIENT) == 250
        assert client.data(large) == "452 4.3.1"
        assert client.envelope(RECIPIENT) == 250
        assert client.bdat(large[:1000000], large[1000000:]) == "452 4.3.1"
        assert client.envelope(RECIPIENT) == 250
        assert client.data(message("small")) == 250
    assert subjects(server) == ["small"]


def test_a_spool_folder_that_is_gone_defers_large_messages_only(make_server, make_postern):
    server = make_server()
    gateway = make_postern([server], limits={"memory_spool": "64K"})
    os.rmdir(gateway.options["spool_path"])
    assert send(gateway, body=filled(200 * KIB)) == "452 4.3.1"
    assert send(gateway) == 250
    assert len(server.messages) == 1


# ---- the journal

def make_records(gateway, n):
    """That many decisions that cost nothing: unknown recipients behind a known one."""
    with Client(gateway.address) as client:
        client.ehlo()
        assert client.envelope(RECIPIENT) == 250
        client.send(b"".join(b"RCPT TO:<nobody%d@example.com>\r\n" % i for i in range(n)))
        for _ in range(n):
            assert client.reply() == "550 5.1.1"
        client.quit()


def told(gateway):
    """How many lines were lost, as each line of the journal that tells of some says."""
    return [record["lost"] for record in gateway.journal() if "lost" in record]


@pytest.mark.parametrize("tiny", ["8m"], indirect=True)  # room for all that waits on the way to it
def test_mail_goes_on_while_the_journal_cannot_be_written(tiny, make_server, make_postern):
    server = make_server()
    gateway = make_postern([server], journal={"path": tiny}, workers=1)
    gateway.journal_folder = tiny
    assert send(gateway, "before") == 250
    ballast = os.path.join(tiny, "ballast")
    fill_up(ballast)
    for _ in range(16): # more than a worker's buffer and its pipe hold
        make_records(gateway, 500)
    assert send(gateway, "during") == 250
    gateway.wait_log(r"journal: the file of process \d+ takes nothing: No space left on device")
    lost = eventually(lambda: gateway.total("journal_lost"), "lost lines are counted")
    os.unlink(ballast)
    assert sum(eventually(lambda: told(gateway), "the journal tells what it lost")) >= lost
    assert send(gateway, "after") == 250
    gateway.wait_log(r"journal: the file of process \d+ takes records again")
    gateway.wait_journal(sender="sender@client.example.net", layer="relay")
    assert gateway.total("journal_lost") == sum(told(gateway))
    assert subjects(server) == ["before", "during", "after"]
    for path in gateway.journal_files():
        if path.endswith(".jsonl"):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    json.loads(line)


# ---- descriptors

@pytest.fixture
def allow_only(folder, monkeypatch):
    """Lets the gateways of this test start with that many descriptors a process, and no right to more."""
    if not is_root():
        pytest.skip("needs the right to give up a right")

    def limit(n):
        wrapper = os.path.join(folder, "limited")
        with open(wrapper, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\nexec setpriv --inh-caps=-sys_resource --bounding-set=-sys_resource "
                       f"prlimit --nofile={n}:{n} {shlex.quote(lib.postern.PROGRAM)} \"$@\"\n")
        os.chmod(wrapper, os.stat(wrapper).st_mode | stat.S_IXUSR)
        monkeypatch.setattr(lib.postern, "PROGRAM", wrapper)
    return limit


def test_stalled_clients_never_take_the_descriptors_that_mail_needs(allow_only, make_server, make_postern):
    """As in a container that allows 300 files, with a connection limit of 10,000: the limit is what the files allow."""
    allow_only(300)
    server = make_server(idle_close_s=0.3)
    gateway = make_postern([server], workers=1)
    assert gateway.find_log(r"only 300 open files a process are allowed")
    with Crowd(gateway.address, 300, AFTER_HELLO) as crowd:
        crowd.stand()
        eventually(lambda: not server.open_connections(), "the pool is empty")
        with Senders(gateway.address, 4, total=40) as senders:
            senders.join()
        assert len(senders.acknowledged) == 40 and not senders.refused
        assert gateway.total("evicted") > 0
    assert not gateway.find_log(r"Too many open files")


def test_without_descriptors_those_who_stand_make_room_and_nobody_hangs(allow_only, make_server, make_postern):
    allow_only(22)  # what it needs for itself, and a dozen
    server = make_server()
    gateway = make_postern([server], workers=1)
    pids = gateway.worker_pids()
    with Crowd(gateway.address, 100, AFTER_HELLO) as crowd:
        for member in crowd.members:
            crowd.open(member)
        eventually(lambda: crowd.all_heard(), "all are answered")
        with Senders(gateway.address, 4) as senders:  # they are told the truth, whatever it is
            eventually(lambda: senders.answers() >= 40, "the senders are answered")
        assert gateway.total("evicted") > 0
        assert set(senders.refused) <= {"421 4.4.2", "451 4.4.1", "451 4.3.2", "452 4.3.1", "Closed"}, senders.refused
    assert send_until_taken(gateway, "after") == 250
    assert gateway.worker_pids() == pids
    assert not senders.missing(numbers(subjects(server)))
