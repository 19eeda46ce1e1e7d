"""`make run`, on ports of its own: the show of DEMO=--play, what the README has a reader try, and how it ends."""
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from lib import nameserver
from lib.ports import free_port
from lib.postern import ROOT
from lib.program import is_alive, tail
from lib.wait import eventually

sys.path.insert(0, os.path.join(ROOT, "scripts"))
import demo_folder  # noqa: E402  (behind the path that makes it found)
import keeper  # noqa: E402

LIMIT_S = 600


@pytest.fixture
def port():
    """The first of three free ones in a row."""
    if nameserver.missing():
        pytest.skip(f"not installed: {nameserver.missing()}")
    ports = [free_port() for _ in range(3)]
    while ports[2] - ports[0] != 2:
        ports = [*ports[1:], free_port()]
    return ports[0]


def play(project, port, *options):
    """`project` holds scripts, etc, build and tests."""
    command = [os.path.join(project, "scripts", "demo"), "--play", "--port", str(port), *options]
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=LIMIT_S, check=False)


def test_the_demo_plays_all_of_its_scenes(port, folder):
    done = play(ROOT, port, "--folder", folder)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d+ scenes, 0 checks failed$", done.stdout, re.M)
    text = re.sub(r"\s+", " ", done.stdout)
    for said in ("451 4.7.1 Greylisted", "Refused by policy: PTRNUL HELO_IP",
                 "listed by spam.dnsbl.example (Sent spam, see http",
                 "OWN CLIENT", "Refused by policy: INFECTED", "Refused by policy: SPAM", "1 Quarantined Spam"):
        assert said in text
    arrived = os.listdir(os.path.join(folder, "Maildir", "new"))  # what was kept was released
    assert len(arrived) == len(re.findall(r"^ +the message +250 ", done.stdout, re.M)) > 0


@pytest.fixture
def project(folder):
    """A project below a folder that is closed to other users, as a clone in root's home is. It shares most with ours;
    its scripts are its own."""
    os.mkdir(os.path.join(folder, "closed"), 0o700)
    path = os.path.join(folder, "closed", "project")
    os.makedirs(os.path.join(path, "build"))
    for name in ("etc", "tests", "build/postern"):
        os.symlink(os.path.join(ROOT, name), os.path.join(path, name))
    shutil.copytree(os.path.join(ROOT, "scripts"), os.path.join(path, "scripts"))
    yield path
    demo_folder.remove(os.path.join(path, "build", "demo"))


def test_a_scene_that_goes_otherwise_fails_the_play(port, project):
    """In its usual folder, which is named from the project's on."""
    path = os.path.join(project, "scripts", "demo_scenes.py")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace("Refused by policy: PTRNUL HELO_IP", "Refused by another rule"))
    done = play(project, port)
    assert done.returncode == 1 and ", 1 checks failed" in done.stdout, done.stdout
    assert os.listdir(os.path.join(project, "build", "demo", "Maildir", "new"))


class Standing:
    """A demo that stands, with its output in a file."""

    def __init__(self, project, port, folder):
        self.output = os.path.join(folder, "said")
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen([os.path.join(project, "scripts", "demo"), "--port", str(port)],
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def wait_help(self):
        eventually(lambda: "Ctrl-C ends them" in tail(self.output, 100000), "the demo stands", LIMIT_S)

    def pids(self):
        """All of its processes by id; those that its scripts are come first."""
        pids = {self.process.pid} | keeper.descendants(self.process.pid)
        return sorted(pids, key=lambda pid: not is_script(pid))


def is_script(pid):
    """Whether somebody would find it who looks for scripts/demo."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return b"scripts/demo" in file.read()


@pytest.fixture
def standing(project, port, folder):
    demo = Standing(project, port, folder)
    demo.wait_help()
    yield demo
    demo.process.terminate()
    demo.process.wait(LIMIT_S)


def readme_lines(port):
    """What README.md tells a reader to try, at this port, by a host whose name has no dot."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        block = re.search(r"While `make run` stands.*?```sh\n(.*?)```", file.read(), re.S)[1]
    lines = [line.partition("  #")[0] for line in block.replace("\\\n", " ").splitlines()]
    return [line.replace(":2525", f":{port}") + ("" if "--ehlo" in line or "swaks" not in line else " --ehlo laptop")
            for line in lines]


def test_the_lines_of_the_readme_work_on_a_host_whose_name_has_no_dot(standing, project, port):
    known, mail, unknown, listed, why = readme_lines(port)

    def say(line):
        return subprocess.run(line, shell=True, cwd=project, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S, check=False).stdout
    assert "250 2.0.0 Filed as" in (said := say(known)), said
    assert "Delivered-To: anna@example.com" in (said := say(mail)), said
    assert "550 5.1.1 No such recipient here" in (said := say(unknown)), said
    assert "RBL MULTIPLE MAIN" in (said := say(listed)), said
    identity = re.search(r"\[([0-9a-v]{14}\.\d+)\]", said)[1]
    eventually(lambda: 'reject "RBL MULTIPLE MAIN"' in say(why.replace("ID", identity)), "the journal has it", 60)


def test_a_demo_whose_scripts_are_killed_leaves_nothing_running(standing):
    pids = standing.pids()
    scripts = [pid for pid in pids if is_script(pid)]
    assert len(scripts) >= 3 and len(pids) >= 10  # itself twice, the mailbox server; scanners, name server, gateway
    for pid in scripts:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        eventually(lambda pid=pid: not is_alive(pid), f"process {pid} gone", LIMIT_S)


def test_a_demo_that_does_not_start_leaves_nothing_running(project, port, folder):
    os.unlink(os.path.join(project, "build", "postern"))
    os.symlink("/bin/false", os.path.join(project, "build", "postern"))
    demo, seen = Standing(project, port, folder), set()
    while demo.process.poll() is None:
        seen |= set(keeper.descendants(demo.process.pid))
    assert demo.process.returncode == 1 and len(seen) >= 4, tail(demo.output)
    assert not [pid for pid in seen if is_alive(pid)]
