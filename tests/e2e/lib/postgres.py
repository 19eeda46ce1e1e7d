"""A real PostgreSQL in a folder of its own: made by initdb, started and stopped as one process, never a service.

It listens on loopback, and on a socket in its folder. As root it runs as an unprivileged user, as it wants to.
"""
import glob
import os
import shutil
import signal
import subprocess

from lib.ports import LOOPBACK, free_port
from lib.postern import worker_user
from lib.program import Program, is_root
from lib.wait import eventually

START_LIMIT_S = 120
OWNER = "postern"


def program(name):
    """Debian keeps them out of PATH, a folder a version."""
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return found[-1] if found else shutil.which(name)


class Postgres(Program):
    """`options` are settings of postgresql.conf; `backup` is a copy of another one's folder `data`, which this one is
    restored from; with a `certificate` (lib.certificates) the server wants TLS and a
    password from everybody who comes over the network, or a certificate of `authority` from the user "cert"."""
    name = "postgres"

    def __init__(self, folder, port=None, backup=None, certificate=None, authority=None, **options):
        os.makedirs(folder)
        super().__init__(folder)
        self.port = port or free_port()
        self.data = os.path.join(folder, "data")
        self.as_user = {"user": worker_user(), "group": None, "extra_groups": []} if is_root() else {}
        self.options = {"fsync": "off", "listen_addresses": LOOPBACK, "port": self.port,
                        "unix_socket_directories": folder, **options}
        if is_root():
            shutil.chown(folder, worker_user())
        if backup:
            self.restore(backup)
        else:
            subprocess.run([program("initdb"), "-D", self.data, "-U", OWNER, "-A", "trust", "-E", "UTF8", "--no-sync"],
                           check=True, stdout=subprocess.DEVNULL, cwd=folder, **self.as_user)
        if certificate:
            self.want_tls(certificate, authority)

    def restore(self, backup):
        """It ends on a timeline of its own, as a replica does that is promoted."""
        shutil.copytree(backup, self.data)
        with open(os.path.join(self.data, "recovery.signal"), "w", encoding="ascii"):
            self.options["restore_command"] = "false"  # there is nothing behind the backup
        if is_root():
            subprocess.run(["chown", "-R", worker_user(), self.data], check=True)

    def move(self, port):
        self.port = self.options["port"] = port

    def own(self, path, name, mode=0o600):
        """Copies a file into the folder, for the user that the server runs as. Returns the copy's path."""
        copy = os.path.join(self.folder, name)
        shutil.copy(path, copy)
        os.chmod(copy, mode)
        if is_root():
            shutil.chown(copy, worker_user())
        return copy

    def want_tls(self, certificate, authority):
        rules = os.path.join(self.folder, "hba")
        with open(rules, "w", encoding="ascii") as file:
            file.write('local all all trust\n'
                       'hostssl all cert all cert\n'
                       'hostssl all all all scram-sha-256\n')
        self.options |= {"ssl": "on", "log_connections": "on",
                         "ssl_cert_file": self.own(certificate.chain, "server.pem"),
                         "ssl_key_file": self.own(certificate.key, "server.key"),
                         "ssl_ca_file": self.own(authority.certificate, "ca.pem"), "hba_file": rules,
                         "password_encryption": "scram-sha-256"}

    def conninfo(self, database="postgres", **words):
        words = {"host": LOOPBACK, "port": self.port, "user": OWNER, "dbname": database, **words}
        return " ".join(f"{name}={value}" for name, value in words.items())

    def start(self):
        settings = [word for name, value in self.options.items() for word in ("-c", f"{name}={value}")]
        self.launch([program("postgres"), "-D", self.data, *settings], cwd=self.folder, **self.as_user)
        eventually(lambda: not self.is_running() or self.is_ready(), "PostgreSQL answers", START_LIMIT_S)
        assert self.is_running(), self.report()
        return self

    def back_up(self, path):
        """A copy of its data, while it does not run."""
        shutil.copytree(self.data, path)
        return path

    def is_ready(self):
        return subprocess.run([program("pg_isready"), "-q", "-h", LOOPBACK, "-p", str(self.port)],
                              check=False).returncode == 0

    def sql(self, text, database="postgres"):
        """Runs a statement as its owner. Returns its rows, each a list of strings."""
        done = subprocess.run([program("psql"), "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1",
                               "-d", self.conninfo(database, host=self.folder), "-c", text],
                              check=True, stdout=subprocess.PIPE, text=True)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def stop(self):
        """At once, and without waiting for clients."""
        if self.is_running():
            self.send_signal(signal.SIGINT)
        return self.wait() if self.process else None
