#!/usr/bin/python3
"""keeper: runs a command so that nothing of it stays, whatever ends it.

    import keeper; code = keeper.run(["scripts/demo", …])

There are three processes. The caller has the terminal and waits in run(). The keeper is a session of its own, so that
neither Ctrl-C nor a closed terminal reaches it; its command line does not name the command, so that killing that by
name spares it. It reads the command from a pipe whose other end the caller holds: end of file means that the caller
ended, by whatever signal. The command is the keeper's child, and everything that the command started, daemons included,
becomes the keeper's child when its parent ends (PR_SET_CHILD_SUBREAPER). So the keeper can end all of it: first the
command by SIGTERM, since that knows the order, then what is left, by SIGTERM and at last by SIGKILL. When the keeper
itself is killed the command gets SIGTERM.

Rejected: a process group, since servers make groups of their own; PR_SET_PDEATHSIG alone, since a process that changes
its user loses it, and since it reaches children only.
"""
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COMMAND_LIMIT_S, REST_LIMIT_S = 30, 10
POLL_S = 0.05
KILLED = 1  # exit code of a command that a signal ended


# ---- the caller

def run(command, **options):
    """Runs `command` until it ends, or until SIGINT, SIGTERM or SIGHUP comes (those that are ignored, as under nohup,
    are ignored here too). Returns its exit code when nothing of it is left. `options` are those of Popen: cwd, env."""
    keeper = subprocess.Popen([sys.executable, os.path.abspath(__file__)], stdin=subprocess.PIPE, bufsize=0,
                              start_new_session=True, **options)
    handlers = {number: signal.getsignal(number) for number in ENDINGS}
    for number, handler in handlers.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, lambda *_: keeper.stdin.close())
    try:
        keeper.stdin.write(json.dumps(command).encode() + b"\n")
    except (OSError, ValueError):
        pass  # the keeper ended, or a signal came, before the command began
    code = keeper.wait()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    return code


# ---- the keeper

def prctl(option, value):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def begin_command():
    """In the child, before the command: SIGTERM when the keeper ends, and the usual signals as they usually are."""
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    for number in ENDINGS:
        signal.signal(number, signal.SIG_DFL)


def has_ended(descriptor):
    """True when the caller's end of the pipe is closed; waits a moment for that."""
    ready, _, _ = select.select([descriptor], [], [], POLL_S)
    return bool(ready) and os.read(descriptor, 4096) == b""


def children_of(parents):
    """Children of these processes, as they are now."""
    found = set()
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                parent = int(file.read().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError, NotADirectoryError):
            continue
        if parent in parents:
            found.add(int(name))
    return found


def descendants(pid):
    found = last = children_of({pid})
    while last:
        last = children_of(last) - found
        found = found | last
    return found


def signal_all(number):
    for pid in descendants(os.getpid()):
        try:
            os.kill(pid, number)
        except OSError:
            pass


def reap(command):
    """Takes children that have ended, orphans included, and `command`'s exit code. True while there are others."""
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return True
            if pid == command.pid:
                command.returncode = os.waitstatus_to_exitcode(status)
    except ChildProcessError:
        return False


def end_command(command):
    """By SIGTERM, and by SIGKILL after COMMAND_LIMIT_S."""
    end = time.monotonic() + COMMAND_LIMIT_S
    command.send_signal(signal.SIGTERM)
    while reap(command) and command.returncode is None:
        if time.monotonic() > end:
            command.kill()
        time.sleep(POLL_S)


def end_rest(command):
    """Everything that is left, by SIGTERM, and by SIGKILL after REST_LIMIT_S."""
    end = time.monotonic() + REST_LIMIT_S
    signal_all(signal.SIGTERM)
    while reap(command):
        if time.monotonic() > end:
            signal_all(signal.SIGKILL)
        time.sleep(POLL_S)


def keep(words, descriptor):
    """Returns the exit code of the command."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    command = subprocess.Popen(words, stdin=subprocess.DEVNULL, preexec_fn=begin_command)
    while reap(command) and command.returncode is None:
        if has_ended(descriptor):
            end_command(command)
    end_rest(command)
    return command.returncode if command.returncode >= 0 else KILLED


def main():
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    with os.fdopen(0, "rb", buffering=0, closefd=False) as pipe:
        line = pipe.readline()
    return keep(json.loads(line), 0) if line.endswith(b"\n") else KILLED


if __name__ == "__main__":
    sys.exit(main())
