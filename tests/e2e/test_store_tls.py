"""A shared store behind TLS, passwords and a host name: what must be readable from inside the store process, and how
each way to be turned away is told. Mail goes on throughout."""
import itertools
import os
import re
import shutil
import subprocess

import pytest

from lib.certificates import Authority
from lib.ports import LOOPBACK
from lib.postern import worker_user
from lib.postgres import Postgres, program
from lib.program import is_root
from lib.wait import eventually

PASSWORD, NAME = "correct horse", "localhost"
AWAY = r"warning: the shared store is away: .*"
numbers = itertools.count()


def new_sender():
    return f"s{next(numbers)}@example.net"


@pytest.fixture
def shared_server(folder, authority):
    assert program("postgres"), "PostgreSQL is not installed (scripts/bootstrap check)"
    server = Postgres(os.path.join(folder, "postgres"), certificate=authority.issue(NAME), authority=authority).start()
    server.sql(f"CREATE ROLE greylist LOGIN PASSWORD '{PASSWORD}'")
    server.sql("CREATE ROLE cert LOGIN")
    server.sql("CREATE DATABASE greylist OWNER greylist")
    yield server
    server.stop()


def can_mount():
    return subprocess.run(["unshare", "--mount", "mount", "--bind", "/etc/hosts", "/etc/hosts"], check=False,
                          stderr=subprocess.DEVNULL).returncode == 0


class Secrets:
    """Files that belong to the user the store process runs as, in a folder for them."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "secrets")
        os.mkdir(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text, mode=0o600, owner=None):
        """As editors do: beside it, and renamed."""
        with open(self.path(name) + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(file.name, mode)
        if is_root():
            shutil.chown(file.name, owner or worker_user())
        os.rename(file.name, self.path(name))
        return self.path(name)

    def copy(self, name, path):
        with open(path, encoding="ascii") as file:
            return self.write(name, file.read())


@pytest.fixture
def secrets(folder):
    return Secrets(folder)


@pytest.fixture
def make_secure(make_host, shared_server, secrets, authority):
    """A host that knows the server by name, with everything right but for `words` of its conninfo; None leaves one
    out. The tables are there."""
    def make(password=PASSWORD, **words):
        secrets.write("pgpass", f"*:*:*:greylist:{password}\n")
        secrets.copy("ca.pem", authority.certificate)
        words = {"host": NAME, "user": "greylist", "sslmode": "verify-full", "sslrootcert": secrets.path("ca.pem"),
                 "passfile": secrets.path("pgpass"), **words}
        words = {name: value for name, value in words.items() if value is not None}
        host = make_host("host", store={"postgresql": f'"{shared_server.conninfo("greylist", **words)}"'})
        done = host.gateway.command("store", "--connect", shared_server.conninfo("greylist", host=shared_server.folder),
                                    "init")
        assert done.returncode == 0, done.stdout
        shared_server.sql("GRANT ALL ON meta, grey TO greylist, cert", "greylist")
        return host
    return make


def is_known_there(server):
    return server.sql("SELECT count(*) FROM grey", "greylist") != [["0"]]


def assert_away(host, server, pattern, reaches_server=True):
    """It says so in one line however often it is tried, and mail goes on."""
    host.start("down")
    line = host.gateway.wait_log(AWAY)[0]
    assert re.search(pattern, line), line
    if reaches_server:
        eventually(lambda: server.report().count(f"connection received: host={LOOPBACK}") >= 3, "it is tried again", 30)
    sender = new_sender()
    assert host.status(sender) == "new"
    assert host.status(sender) == "early"
    assert host.gateway.find_all_log(AWAY) == [line]
    assert not is_known_there(server)
    assert "the shared store is away" in host.gateway.command("status", "--check").stdout


def test_by_name_with_tls_and_a_password_from_a_file(make_secure, shared_server):
    host = make_secure().start()
    assert host.status(new_sender()) == "new"
    assert is_known_there(shared_server)
    assert shared_server.sql("SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                             " WHERE usename = 'greylist'") == [["t"]]


def test_it_comes_back_though_its_files_were_replaced_meanwhile(make_secure, shared_server, secrets, authority):
    host = make_secure().start()
    shared_server.stop()
    host.wait_shared("down")
    secrets.write("pgpass", f"*:*:*:greylist:{PASSWORD}\n")
    secrets.copy("ca.pem", authority.certificate)
    shared_server.start()
    host.wait_shared("up")


def test_a_certificate_instead_of_a_password(make_secure, shared_server, secrets, authority):
    certificate = authority.issue("cert")
    host = make_secure(user="cert", passfile=None, sslcert=secrets.copy("cert.pem", certificate.chain),
                       sslkey=secrets.copy("cert.key", certificate.key)).start()
    assert host.status(new_sender()) == "new"
    assert is_known_there(shared_server)


def test_files_that_are_links_lead_somewhere(make_secure, shared_server, secrets, authority, folder):
    os.mkdir(os.path.join(folder, "live"))
    link = os.path.join(folder, "live", "ca.pem")
    os.symlink(secrets.path("ca.pem"), link)
    make_secure(sslrootcert=link).start()


def test_what_the_environment_says_to_the_client_counts_nothing(make_secure, folder):
    host = make_secure()
    host.gateway.environment = {"PGHOSTADDR": "192.0.2.1", "PGPASSFILE": "/nowhere", "PGSERVICE": "none",
                                "HOME": "/root"}
    host.start()


@pytest.mark.skipif(not can_mount(), reason="needs to mount")
def test_a_name_with_several_addresses(make_secure, shared_server, folder):
    hosts = os.path.join(folder, "hosts")
    with open(hosts, "w", encoding="ascii") as file:
        file.write(f"127.0.0.2 {NAME}\n127.0.0.1 {NAME}\n::1 {NAME}\n")
    host = make_secure()
    host.gateway.hosts = hosts
    host.start()
    assert host.status(new_sender()) == "new"
    assert is_known_there(shared_server)
    assert not host.gateway.find_log("store died")


def test_files_in_a_folder_that_comes_later(make_secure, shared_server, secrets, folder):
    """What the sandbox did not know cannot be read from inside: the process is started anew, once."""
    later = os.path.join(folder, "later")
    host = make_secure(passfile=os.path.join(later, "pgpass")).start("down")
    os.mkdir(later)
    os.rename(secrets.path("pgpass"), os.path.join(later, "pgpass"))
    host.wait_shared("up")
    assert host.status(new_sender()) == "new"
    assert is_known_there(shared_server)
    assert len(host.gateway.find_all_log("the store is started anew: ")) == 1
    assert not host.gateway.find_log("store died")


# ---- turned away

def test_a_wrong_password(make_secure, shared_server, secrets):
    host = make_secure(password="wrong")
    assert_away(host, shared_server, 'password authentication failed for user "greylist"')
    secrets.write("pgpass", f"*:*:*:greylist:{PASSWORD}\n")
    host.wait_shared("up")


def test_a_wrong_authority(make_secure, shared_server, folder):
    other = Authority(os.path.join(folder, "other"))
    assert_away(make_secure(sslrootcert=other.certificate), shared_server, "certificate verify failed")


def test_a_name_that_is_not_the_certificates(make_secure, shared_server):
    assert_away(make_secure(host="127.0.0.1"), shared_server, 'certificate for "localhost" .*does not match')


def test_nobody_listens(make_secure, shared_server):
    host = make_secure(host="127.0.0.1", sslmode="disable")
    shared_server.stop()
    host.start("down")
    line = host.gateway.wait_log(AWAY)[0]
    assert "Connection refused" in line
    sender = new_sender()
    assert host.status(sender) == "new" and host.status(sender) == "early"
    assert host.gateway.find_all_log(AWAY) == [line]


def test_a_name_that_does_not_exist(make_secure, shared_server):
    assert_away(make_secure(host="no-such-host.invalid"), shared_server, r"no-such-host\.invalid: ",
                reaches_server=False)


@pytest.mark.parametrize("case, told", [
    ("missing", "pgpass cannot be read: No such file or directory"),
    ("open", "pgpass is not used: it must be a file that nobody else may read"),
    ("other", "pgpass has no line for this server, database and user"),
    pytest.param("foreign", "pgpass cannot be read: Permission denied",
                 marks=pytest.mark.skipif(not is_root(), reason="needs another user's file"))])
def test_a_password_file_that_is_no_use(make_secure, shared_server, secrets, case, told):
    host = make_secure()
    if case == "missing":
        os.unlink(secrets.path("pgpass"))
    else:
        secrets.write("pgpass", f"*:*:*:{'else' if case == 'other' else 'greylist'}:{PASSWORD}\n",
                      mode=0o644 if case == "open" else 0o600, owner="root" if case == "foreign" else None)
    assert_away(host, shared_server, re.escape(told))
    assert "WARNING: password file" not in host.gateway.log()
    secrets.write("pgpass", f"*:*:*:greylist:{PASSWORD}\n")
    host.wait_shared("up")


def test_an_authority_that_is_missing(make_secure, shared_server, secrets):
    host = make_secure(sslrootcert=secrets.path("not-there.pem"))
    assert_away(host, shared_server, r"sslrootcert=.*not-there\.pem cannot be read: No such file")


@pytest.mark.skipif(not is_root(), reason="needs another user's file")
def test_an_authority_that_may_not_be_read(make_secure, shared_server, secrets, authority):
    os.chmod(secrets.copy("closed.pem", authority.certificate), 0)
    host = make_secure(sslrootcert=secrets.path("closed.pem"))
    assert_away(host, shared_server, r"sslrootcert=.*closed\.pem cannot be read: Permission denied")


@pytest.mark.parametrize("words, told", [
    ("service=greylist", "service= is not followed"), ("passfile=pgpass", "passfile=pgpass is not an absolute path"),
    ("nonsense=1", "invalid connection option")])
def test_what_does_not_belong_into_the_configuration(make_host, words, told):
    host = make_host("host", store={"postgresql": f'"host=127.0.0.1 {words}"'})
    host.start("down")
    assert len(host.gateway.find_all_log(f"error: .*{told}")) == 1
    assert host.status(new_sender()) == "new"
