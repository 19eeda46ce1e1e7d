"""Fixtures of the end-to-end tests: the real program in front of real and misbehaving mailbox servers, on loopback.

Each test gets what it starts in a folder of its own, stopped at its end; a failed test shows the logs and keeps the
folder. The real Postfix is started once and shared; it carries no state between tests but the mail that arrived, so
tests give each message a Subject of its own.
"""
import os
import shutil
import signal
import tempfile
import uuid

import pytest

from lib import clamd, nameserver
from lib import postfix as real
from lib import spamd
from lib.certificates import Authority
from lib.host import MODULE, RULES, Host
from lib.postern import DOMAIN, PROGRAM, Postern
from lib.postgres import Postgres, program
from lib.public import make_public_folder
from lib.server import MailServer

KNOWN = ("anna", "bert", "carl", "refused", "jörg")


def pytest_configure():
    os.umask(0o022)  # what servers read that run as other users is written by tests
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as at Ctrl-C, what was started is stopped
    if not os.access(PROGRAM, os.X_OK):
        raise pytest.UsageError(f"{PROGRAM} is missing: make build, or name the program in POSTERN")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.failed:
        item.has_failed = True
        for fixture in ("make_postern", "make_shared_postern"):
            for gateway in item.funcargs[fixture].started if fixture in item.funcargs else []:
                report.sections.append((gateway.name, gateway.report()))


@pytest.fixture(scope="session")
def base_folder(request):
    """Not pytest's own: its folders are closed to the user that workers run as, and their names are too long for
    sockets."""
    folder = make_public_folder("postern-e2e-")
    yield folder
    if request.session.testsfailed == 0:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"\ne2e: logs of failed tests are kept in {folder}")


@pytest.fixture
def folder(base_folder, request):
    path = tempfile.mkdtemp(dir=base_folder)
    os.chmod(path, 0o755)
    yield path
    if not getattr(request.node, "has_failed", False):
        shutil.rmtree(path, ignore_errors=True)


class Gateways:
    """Makes gateways in a folder, and stops them at the end."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def __call__(self, servers, /, recipients=None, group=None, start=True, **options):
        """A Postern in front of a group of `servers` (anything whose str() is ADDRESS:PORT; none if empty), with a
        directory for example.com. Further keywords are those of Postern; `group` are options of the server group."""
        folder = os.path.join(self.folder, f"postern{len(self.started)}")
        os.mkdir(folder)
        block = {"server": [str(server) for server in servers], "tls": "none", **(group or {})}
        if servers:
            options["servers"] = ("mailbox", block)
        gateway = Postern(folder, {DOMAIN: KNOWN} if recipients is None else recipients, **options)
        self.started.append(gateway)
        return gateway.start() if start else gateway

    def stop(self):
        """A gateway that ended badly fails the test, after all were stopped."""
        faults = []
        for gateway in reversed(self.started):
            try:
                gateway.stop()
            except AssertionError as fault:
                faults.append(str(fault))
        assert not faults, "\n".join(faults)


@pytest.fixture
def make_postern(folder):
    gateways = Gateways(folder)
    yield gateways
    gateways.stop()


@pytest.fixture(scope="module")
def make_shared_postern(base_folder):
    """For gateways that many tests use, which leave them as they were."""
    folder = tempfile.mkdtemp(dir=base_folder)
    os.chmod(folder, 0o755)
    gateways = Gateways(folder)
    yield gateways
    gateways.stop()


def servers_until_the_end():
    servers = []

    def make(*arguments, **options):
        servers.append(MailServer(*arguments, **options))
        return servers[-1]
    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def make_server():
    """A MailServer with these keywords, stopped at the end."""
    yield from servers_until_the_end()


@pytest.fixture(scope="module")
def make_shared_server():
    yield from servers_until_the_end()


@pytest.fixture(scope="module")
def make_name_server(base_folder):
    """An Nsd or Rbldnsd with these zones, stopped at the end of the module."""
    if nameserver.missing():
        pytest.skip(f"not installed: {nameserver.missing()}")
    folder = tempfile.mkdtemp(dir=base_folder)
    os.chmod(folder, 0o755)
    servers = []

    def make(kind, zones):
        servers.append(kind(os.path.join(folder, str(len(servers))), zones))
        return servers[-1].start()
    yield make
    for server in servers:
        server.stop()


def scanners_until_the_end(base_folder, module, kind):
    if module.missing():
        pytest.skip(f"not installed: {module.missing()}")
    folder = tempfile.mkdtemp(dir=base_folder)
    os.chmod(folder, 0o755)
    scanners = []

    def make(**options):
        scanners.append(kind(os.path.join(folder, str(len(scanners))), **options))
        return scanners[-1].start()
    yield make
    for scanner in scanners:
        scanner.stop()


@pytest.fixture(scope="module")
def make_clamd(base_folder):
    """A Clamd with these keywords, stopped at the end of the module."""
    yield from scanners_until_the_end(base_folder, clamd, clamd.Clamd)


@pytest.fixture(scope="module")
def make_spamd(base_folder):
    """A Spamd with these keywords, stopped at the end of the module."""
    yield from scanners_until_the_end(base_folder, spamd, spamd.Spamd)


@pytest.fixture
def shared_server(folder):
    """A PostgreSQL of the test's own, for hosts to share."""
    assert program("postgres"), "PostgreSQL is not installed (scripts/bootstrap check)"
    server = Postgres(os.path.join(folder, "postgres")).start()
    yield server
    server.stop()


@pytest.fixture
def make_host(folder, make_server, make_postern, shared_server):
    """A Host that greylists everyone and shares that with others, not started; keywords are those of Postern, `store`
    and `delay` apart."""
    rules = os.path.join(folder, "policy")
    with open(rules, "w", encoding="utf-8") as file:
        file.write(RULES)

    def make(name, delay="1h", store=None, **options):
        block = {"path": os.path.join(folder, name, "greylist.db"), "postgresql": f'"{shared_server.conninfo()}"',
                 "module": MODULE, **(store or {})}
        return Host(make_postern([make_server()], policy=rules, dns={"use": "off"}, workers=1,
                                 greylist={"delay": delay, "new_per_network": 0}, start=False, store=block, **options))
    return make


@pytest.fixture(scope="session")
def authority(base_folder):
    return Authority(base_folder)


@pytest.fixture(scope="session")
def make_postfix(base_folder):
    """A Postfix with these parameters of main.cf; runs until the end of the session."""
    started = []
    why = real.missing()

    def make(name, **parameters):
        if why:
            pytest.skip(why)
        path = os.path.join(base_folder, name)
        os.mkdir(path)
        started.append(real.Postfix(path, **parameters))
        return started[-1].start()
    yield make
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def postfix(make_postfix, authority):
    """The shared mailbox server: takes everything for example.com, example.org and example.net, but for
    refused@example.com."""
    certificate = authority.issue("mailbox.example.com")
    return make_postfix("postfix", domains=("example.com", "example.org", "example.net", "lists.example.com"),
                        refused={"refused@example.com": "550 5.2.1 Mailbox closed"},
                        smtpd_tls_security_level="may", smtpd_tls_cert_file=certificate.chain,
                        smtpd_tls_key_file=certificate.key)


@pytest.fixture
def subject():
    """One that no other message has."""
    return uuid.uuid4().hex
