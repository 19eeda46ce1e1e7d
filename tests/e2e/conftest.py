"""Fixtures of the end-to-end tests: the real program in front of real and misbehaving mailbox servers, on loopback.

Each test gets what it starts in a folder of its own, stopped at its end; a failed test shows the logs and keeps the
folder. The real Postfix is started once and shared; it carries no state between tests but the mail that arrived, so
tests give each message a Subject of its own.
"""
import os
import shutil
import tempfile
import uuid

import pytest

from lib import postfix as real
from lib.certificates import Authority
from lib.postern import DOMAIN, PROGRAM, Postern
from lib.server import MailServer

KNOWN = ("anna", "bert", "carl", "refused", "jörg")


def pytest_configure():
    if not os.access(PROGRAM, os.X_OK):
        raise pytest.UsageError(f"{PROGRAM} is missing: make build, or name the program in POSTERN")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        item.has_failed = True
        for started in item.funcargs.get("_started", []):
            report.sections.append((started.name, started.report()))


@pytest.fixture(scope="session")
def base_folder(request):
    """Not pytest's own: its folders are closed to the user that workers run as, and their names are too long for
    sockets."""
    folder = tempfile.mkdtemp(prefix="postern-e2e-")
    os.chmod(folder, 0o755)
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


@pytest.fixture
def _started(folder):
    """What the test has started, stopped in reverse order. A server that ended badly fails the test, after all were
    stopped."""
    programs = []
    yield programs
    faults = []
    for program in reversed(programs):
        try:
            program.stop()
        except AssertionError as fault:
            faults.append(str(fault))
    assert not faults, "\n".join(faults)


@pytest.fixture
def make_postern(folder, _started):
    """Postern in front of `servers` (anything whose str() is ADDRESS:PORT), with a directory for example.com:
    make_postern([server], …). Further keywords are options of postern.conf; `group` are those of the server group.
    Started, unless start=False."""
    def make(servers, recipients=None, group=None, start=True, **options):
        path = os.path.join(folder, f"postern{len(_started)}")
        os.mkdir(path)
        block = {"server": [str(server) for server in servers], "tls": "none", **(group or {})}
        options.setdefault("servers", ("mailbox", block))
        gateway = Postern(path, {DOMAIN: KNOWN} if recipients is None else recipients, **options)
        _started.append(gateway)
        return gateway.start() if start else gateway
    return make


@pytest.fixture
def make_server():
    """A MailServer with these keywords, stopped at the end."""
    servers = []

    def make(*arguments, **options):
        servers.append(MailServer(*arguments, **options))
        return servers[-1]
    yield make
    for server in servers:
        server.stop()


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
