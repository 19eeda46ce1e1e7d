"""What the manuals and the shipped files say is so: their examples load, and every command and option is told."""
import os
import re
import shutil
import subprocess

import pytest

from lib.certificates import Authority
from lib.postern import COMMANDS, PROGRAM, ROOT, worker_user

ETC = "/etc/postern"  # in examples; the tests have a folder of their own


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def postern(*arguments):
    return subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, check=False)


# ---- configurations


@pytest.fixture(scope="module")
def site(base_folder):
    """A folder with the files that the examples name."""
    folder = os.path.join(base_folder, "site")
    os.makedirs(folder)
    authority = Authority(folder)
    names = {"chain.pem": ("ecdsa", "chain"), "key.pem": ("ecdsa", "key"), "ecdsa.pem": ("ecdsa", "chain"),
             "ecdsa.key": ("ecdsa", "key"), "rsa.pem": ("rsa", "chain"), "rsa.key": ("rsa", "key")}
    for name, (kind, part) in names.items():
        certificate = authority.issue("mx.example.com", kind)
        shutil.copy(getattr(certificate, part), os.path.join(folder, name))
    for name, text in {"domains": "more.example.com\n", "banned": "203.0.113.0/24\n", "pgpass": ""}.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    for name in ("policy", "well-known-senders"):
        shutil.copy(os.path.join(ROOT, "etc", name), folder)
    return folder


def check(site, text, name="postern.conf"):
    """What `postern check` says of this configuration, which must load."""
    path = os.path.join(site, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(re.sub(r"^user .*\n", "", text.replace(ETC, site), flags=re.M) + f"\nuser {worker_user()}\n")
    done = postern("check", "-c", path)
    assert done.returncode == 0, done.stdout
    return done.stdout


def examples(manual):
    """The literal blocks in section EXAMPLES."""
    section = read("man", manual).split("\n.Sh EXAMPLES\n")[1].split("\n.Sh ")[0]
    return re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", section, re.M | re.S)


def test_the_shipped_configuration_loads_when_what_must_be_changed_is(site):
    said = check(site, re.sub(r"^#(?=[^\n]*# <--)", "", read("etc", "postern.conf"), flags=re.M))
    assert "mx.example.com: listeners 2, domains 1," in said
    assert "error" not in said


def test_all_that_is_commented_out_in_the_shipped_configuration_could_be_there(site):
    options = re.sub(r"^#(?=[a-z}]|   +[a-z])", "", read("etc", "postern.conf"), flags=re.M)
    assert "error" not in check(site, options)


def test_the_examples_of_the_configuration_load(site):
    smallest, larger = examples("postern.conf.5")
    assert "error" not in check(site, smallest)
    (policy,) = examples("postern-policy.5")
    with open(os.path.join(site, "rules"), "w", encoding="utf-8") as file:
        file.write(policy)
    assert "policy rules\n" in larger  # "the example of postern-policy(5)"
    assert "error" not in check(site, larger)


# ---- commands


def synopsis_of(command):
    """What postern(8) says in its synopsis of this command, which must have a section of its own."""
    text = read("man", "postern.8")
    synopsis = text.split("\n.Sh SYNOPSIS\n")[1].split("\n.Sh ")[0]
    called = "".join(part for part in synopsis.split(".Nm\n") if part.startswith(f".Cm {command}\n"))
    assert called, f"{command} is not in the synopsis of postern(8)"
    assert f"\n.Ss {command}\n" in text
    return called


def options_in(mdoc):
    """Without their first hyphen, as mdoc writes them."""
    return {word for words in re.findall(r"\bFl ([^A-Z\n]+)", mdoc) for word in words.split() if word != "|"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_manual_knows_the_options_of_each_command(command):
    known = {option[1:] for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", postern(command, "--help").stdout)}
    assert options_in(synopsis_of(command)) == known


def test_the_manual_has_no_other_commands():
    synopsis = read("man", "postern.8").split("\n.Sh SYNOPSIS\n")[1].split("\n.Sh ")[0]
    assert set(re.findall(r"^\.Nm\n\.Cm (\w+)$", synopsis, re.M)) == set(COMMANDS)
    assert re.findall(r"^  ([a-z]+) {2,}", postern("--help").stdout, re.M) == COMMANDS
