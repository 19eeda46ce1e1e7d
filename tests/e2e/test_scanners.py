"""Real clamd and spamd, watched by a real gateway: which of their servers works is known before the first message, from
inside the workers' sandbox, and found out again when it changes."""
import glob
import os
import re
import shutil
import subprocess

import pytest
from lib.postern import ROOT
from lib.program import kill
from lib.wait import eventually

AWAY = "unix:/nonexistent/socket"


@pytest.fixture(scope="module")
def clamd(make_clamd):
    return make_clamd()


@pytest.fixture(scope="module")
def spamd(make_spamd):
    return make_spamd()


def is_down(gateway, address):
    """None: no such server."""
    servers = [server for scanner in gateway.status()["scanners"] for server in scanner["servers"]]
    return next((server["down"] for server in servers if server["address"] == address), None)


def eventually_is(gateway, address, down):
    eventually(lambda: is_down(gateway, address) is down, f"{address} is {'down' if down else 'up'}")


def started(make_postern, **options):
    return make_postern(["127.0.0.1:1"], **options)


def test_scanners_that_work_are_up_over_unix_sockets_and_tcp(make_postern, clamd, spamd):
    gateway = started(make_postern, clamav={"server": [AWAY, clamd.unix, clamd.tcp]},
                      spamassassin={"server": [AWAY, spamd.unix, spamd.tcp]})
    eventually(lambda: gateway.log().count(f"scanner {AWAY}") == 2 * 2, "each worker has tried each server")
    for server in (clamd.unix, clamd.tcp, spamd.unix, spamd.tcp):
        assert is_down(gateway, server) is False
    assert len(re.findall(rf"warning: scanner {AWAY} \(\w+\): down: No such file", gateway.log())) == 4
    assert len(re.findall(r"scanner .*: down", gateway.log())) == 4
    eventually_is(gateway, AWAY, True)
    text = gateway.command("status").stdout
    assert re.search(rf"^clamav +{clamd.unix} +up ", text, re.M)
    assert re.search(rf"^spamassassin +{AWAY} +down ", text, re.M)


def test_without_scanners_nothing_is_watched(make_postern):
    gateway = started(make_postern)
    assert gateway.status()["scanners"] == []
    assert "scanner" not in gateway.command("status").stdout


@pytest.mark.parametrize("kind", ["clamav", "spamassassin"])
def test_a_scanner_that_comes_late_is_found(kind, make_postern, clamd, spamd, folder):
    """Whatever the order in which a host starts its services. A socket of the same name is the new scanner's."""
    path = os.path.join(folder, "late")
    gateway = started(make_postern, **{kind: {"server": f"unix:{path}"}})
    eventually_is(gateway, f"unix:{path}", True)
    os.symlink((clamd if kind == "clamav" else spamd).unix.removeprefix("unix:"), path)
    eventually_is(gateway, f"unix:{path}", False)
    assert "up again" in gateway.log()


def test_monitoring_hears_of_a_clamd_that_is_away_as_critical_and_of_a_spamd_as_a_warning(make_postern, clamd, spamd):
    gateway = started(make_postern, clamav={"server": AWAY}, spamassassin={"server": spamd.unix})
    eventually_is(gateway, AWAY, True)
    assert "no server of clamav works" in gateway.command("status", "--check").stdout
    other = started(make_postern, clamav={"server": clamd.unix}, spamassassin={"server": AWAY})
    eventually_is(other, AWAY, True)
    assert "no server of spamassassin works" in other.command("status", "--check").stdout
    assert "no server of clamav works" not in other.command("status", "--check").stdout


def test_a_scanner_of_the_wrong_kind_is_down(make_postern, clamd, spamd):
    """clamd waits in vain for an end of what it takes for a command; spamd says that it understands nothing."""
    gateway = started(make_postern, clamav={"server": spamd.tcp}, spamassassin={"server": clamd.tcp})
    eventually_is(gateway, spamd.tcp, True)
    eventually_is(gateway, clamd.tcp, True)


def test_scanners_that_are_killed_and_replaced_by_a_reload_leave_nothing_behind(make_postern, make_clamd):
    clamd = make_clamd()
    gateway = started(make_postern, clamav={"server": clamd.unix})
    eventually_is(gateway, clamd.unix, False)
    kill(clamd.pid)
    clamd.wait()
    gateway.configure(clamav={"server": [clamd.unix, clamd.tcp]})
    gateway.reload()
    eventually_is(gateway, clamd.tcp, True)
    clamd.start()
    eventually_is(gateway, clamd.tcp, False)
    eventually_is(gateway, clamd.unix, False)
    gateway.configure(clamav=None)
    gateway.reload()
    eventually(lambda: gateway.status()["scanners"] == [], "no scanner is left")


def shipped(name):
    with open(os.path.join(ROOT, "etc", "content", name), encoding="utf-8") as file:
        return file.read()


def run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60, check=False)


def test_clamd_and_freshclam_understand_the_shipped_files(make_clamd, folder):
    """What is different for a test: where files are, and whose the process is. The rest is as it will be."""
    lines = (line.partition(" ") for line in shipped("clamd.conf").splitlines() if line and line[0] != "#")
    ours = ("LocalSocket", "LocalSocketGroup", "User", "DatabaseDirectory", "LogFile", "LocalSocketMode", "MaxThreads")
    assert make_clamd(**{name: value for name, _, value in lines if name not in ours}).answers()
    conf = os.path.join(folder, "freshclam.conf")
    text = shipped("freshclam.conf").replace("/var/lib/clamav", folder).replace("/var/log/clamav", folder)
    with open(conf, "w", encoding="utf-8") as file:
        file.write(text.replace("#DatabaseCustomURL", "DatabaseCustomURL"))
    done = run("freshclam", f"--config-file={conf}", "-V")
    assert done.returncode == 0 and "ERROR" not in done.stdout, done.stdout


def test_spamassassin_understands_the_shipped_files(make_spamd, folder):
    for path in glob.glob("/etc/spamassassin/*.pre"):
        shutil.copy(path, folder)
    with open(os.path.join(folder, "postern.cf"), "w", encoding="utf-8") as file:
        file.write(shipped("spamassassin.cf").replace("/var/lib/spamassassin", folder))
    done = run("spamassassin", "--lint", f"--siteconfigpath={folder}")
    assert done.returncode == 0 and done.stdout == "", done.stdout
    options = re.search('^OPTIONS="(.*)"$', shipped("spamd.default"), re.M).group(1).split()
    known = run("spamd", "--help").stdout
    for name in (option.partition("=")[0] for option in options if option.startswith("--")):
        assert name in known or name in ("--nouser-config",), f"spamd has no option {name}"
    assert make_spamd(rules=shipped("spamassassin.cf").replace("/var/lib/spamassassin", folder)).answers()
