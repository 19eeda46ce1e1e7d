"""The show of `make run DEMO=--play` goes as it says, on ports of its own."""
import os
import re
import shutil
import subprocess

import pytest

from lib import nameserver
from lib.ports import free_port
from lib.postern import ROOT

LIMIT_S = 180


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


def test_a_scene_that_goes_otherwise_fails_the_play(port, folder):
    """In its usual folder, which is named from the project's on."""
    os.mkdir(os.path.join(folder, "build"))
    for name in ("etc", "tests", "build/postern"):
        os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
    shutil.copytree(os.path.join(ROOT, "scripts"), os.path.join(folder, "scripts"))
    path = os.path.join(folder, "scripts", "demo_scenes.py")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace("Refused by policy: PTRNUL HELO_IP", "Refused by another rule"))
    done = play(folder, port)
    assert done.returncode == 1 and ", 1 checks failed" in done.stdout, done.stdout
