"""scripts/keeper.py: nothing that a command started outlives it, whatever ends it or its caller."""
import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios

import pytest

from lib.postern import ROOT
from lib.program import is_alive, kill
from lib.wait import eventually

SCRIPTS = os.path.join(ROOT, "scripts")
# Who starts the tests in the background may have SIGQUIT ignored, which children inherit.
CALLER = f"import signal, sys; signal.signal(signal.SIGQUIT, signal.SIG_DFL); sys.path.insert(0, {SCRIPTS!r}); " \
         "import keeper; sys.exit(keeper.run(sys.argv[1:]))"
# A server in a session of its own, a daemon whose parent has ended, and the command itself, by their process ids.
COMMAND = """\
import os, subprocess, sys, time
server = subprocess.Popen(["sleep", "1000"], start_new_session=True)
reads, writes = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(writes, str(os.getpid()).encode())
        os.execvp("sleep", ["sleep", "1000"])
    os._exit(0)
os.wait()
path = sys.argv[1]
with open(path + ".new", "w") as file:
    file.write(f"{os.getpid()} {os.getppid()} {server.pid} {os.read(reads, 20).decode()}")
os.rename(path + ".new", path)
time.sleep(float(sys.argv[2]))
"""
LONG = "1000"


class Kept:
    """A caller with its keeper, command, server and daemon, all of them running. The command sleeps for `seconds`."""

    def __init__(self, folder, seconds=LONG, **options):
        path = os.path.join(folder, "pids")
        self.caller = subprocess.Popen([sys.executable, "-c", CALLER, sys.executable, "-c", COMMAND, path, seconds],
                                       stdin=subprocess.DEVNULL, **options)
        eventually(lambda: os.path.exists(path), "the command has started")
        with open(path, encoding="ascii") as file:
            self.command, self.keeper, *self.started = map(int, file.read().split())

    def wait_end(self):
        """Returns the caller's exit code when nothing is left."""
        for pid in (self.command, self.keeper, *self.started):
            eventually(lambda pid=pid: not is_alive(pid), f"process {pid} gone")
        return self.caller.wait(15)


def test_what_a_command_left_ends_with_it(folder):
    assert Kept(folder, seconds="0").wait_end() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL])
def test_nothing_outlives_a_caller_that_a_signal_ends(folder, number):
    kept = Kept(folder)
    kept.caller.send_signal(number)
    assert kept.wait_end() != 0


def test_nothing_outlives_a_command_that_is_killed(folder):
    kept = Kept(folder)
    os.kill(kept.command, signal.SIGKILL)
    assert kept.wait_end() == 1


def test_nothing_outlives_a_caller_and_a_command_that_are_killed_at_once(folder):
    kept = Kept(folder)
    os.kill(kept.command, signal.SIGKILL)
    kept.caller.kill()
    kept.wait_end()


def test_nothing_outlives_the_terminal(folder):
    ours, its = pty.openpty()
    kept = Kept(folder, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(its, termios.TIOCSCTTY, 0))
    os.close(its)
    os.close(ours)
    kept.wait_end()


def test_a_command_whose_keeper_is_killed_is_asked_to_end(folder):
    kept = Kept(folder)
    try:
        os.kill(kept.keeper, signal.SIGKILL)
        eventually(lambda: not is_alive(kept.command), "the command has ended")
        assert kept.caller.wait(15) != 0
    finally:
        for pid in kept.started:
            kill(pid)


def test_a_command_that_cannot_be_run_fails(folder):
    done = subprocess.run([sys.executable, "-c", CALLER, os.path.join(folder, "none")], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=30, check=False)
    assert done.returncode != 0 and b"none" in done.stderr
