"""The policy servers that the bench compares, as Postfix would ask them: see servers.py for what they have in common.

Name server and block lists are the ones of the end-to-end tests; postgrey, sqlgrey and postfwd come from Debian and are
started here, never as services.
"""
import os
import pwd
import re
import shutil
import signal
import socket
import sys
import time

from servers import ROOT, START_LIMIT_S, Floor, Server, Postern, stat_of

sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
from lib import nameserver  # noqa: E402  (behind the path that makes it found)

N_CLIENTS = 64  # as policy_load.c counts them
BANNING_ENTRIES = {"banned": "203.0.113.0/24", "banned_names": ".badisp.example",
                   "banned_senders": "spammer@example.net"}
LISTS = ("first.dnsbl.example", "second.dnsbl.example")


class NotInstalled(RuntimeError):
    pass


def program(name):
    found = shutil.which(name, path="/usr/sbin:/usr/bin")
    if found is None:
        raise NotInstalled("not installed, left out")
    return found


class PolicyServer(Server):
    """Says nothing first: it has started when its port is open."""

    def start(self):
        self.pid = self.start_process()
        end = time.monotonic() + START_LIMIT_S
        while time.monotonic() < end and (self.process is None or self.process.poll() is None):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
                return self
            except OSError:
                time.sleep(0.1)
        log = os.path.join(self.folder, "output")
        tail = open(log, encoding="utf-8", errors="replace").read()[-2000:] if os.path.exists(log) else ""
        self.stop()
        raise RuntimeError(f"{self.name} did not start\n{tail}")


class PolicyFloor(PolicyServer, Floor):
    """The bare loop of canned answers."""
    name = "floor"

    def start_process(self):
        program_path = os.path.join(ROOT, "build", "bench", "floor")
        return self.popen([program_path, "-p", "-w", str(self.workers), str(self.port)])


class Names:
    """NSD with what DNS says of the load's clients and senders, rbldnsd with two lists that hold none of them."""

    def __init__(self, folder):
        numbers = range(1, N_CLIENTS + 1)
        records = "".join(f"mail{n}.client A 198.51.100.{n}\nsender{n - 1} MX 10 mx\n" for n in numbers)
        records += "mx A 192.0.2.9\n"
        reverse = "".join(f"{n} PTR mail{n}.client.example.\n" for n in numbers)
        self.nsd = nameserver.Nsd(os.path.join(folder, "nsd"), {"example": records, "100.51.198.in-addr.arpa": reverse})
        entry = ":127.0.0.2:Listed\n127.0.0.2\n"
        self.lists = nameserver.Rbldnsd(os.path.join(folder, "rbldnsd"), {zone: ("ip4set", entry) for zone in LISTS})

    def start(self):
        self.nsd.start()
        self.lists.start()
        return self

    def stop(self):
        self.nsd.stop()
        self.lists.stop()


def policy_tables(filled):
    """The tables of the shipped configuration, empty but for those in `filled`: name to "entries …" or "file …"."""
    with open(os.path.join(ROOT, "etc", "postern.conf"), encoding="utf-8") as file:
        declared = re.findall(r"^table (\w+) (\w+)", file.read(), re.MULTILINE)
    return "".join(f"table {name} {kind} {{\n    {filled.get(name, '')}\n}}\n" for name, kind in declared)


def chown_to_worker(path):
    """Root runs workers and the store as another."""
    if os.geteuid() == 0:
        os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)


def shipped_policy(names, bans=False):
    """What a configuration needs for the shipped policy, with `names` for DNS. With `bans` the tables that ban hold an
    entry each: an empty one, as shipped, needs no answer."""
    tables = policy_tables({name: f"entries {entry}" for name, entry in BANNING_ENTRIES.items()} if bans else {})
    stubs = "".join(f"    stub {zone} {names.lists}\n" for zone in LISTS)
    dns = f"dns {{\n    use forward\n    forward_to {names.nsd}\n{stubs}}}\n"
    lists = "".join(f"block_list {zone} {{\n    group main\n}}\n" for zone in LISTS)
    return f"policy {ROOT}/etc/policy\n{tables}{dns}{lists}"


class PosternDoor(PolicyServer, Postern):
    """Postern's door for Postfix, log and journal on. With `names` the shipped policy and DNS; with `greylists` a
    policy of one greylist rule, and a store."""
    name = "postern"

    def __init__(self, folder, workers, recipients, sink_port, names=None, greylists=False):
        Postern.__init__(self, folder, workers, recipients, sink_port)
        store = os.path.join(self.folder, "store")
        policy = os.path.join(self.folder, "policy")
        os.makedirs(store, exist_ok=True)
        chown_to_worker(store)
        with open(policy, "w", encoding="utf-8") as file:
            file.write('layer greylist {\n    greylist "LITERAL" when helo.address\n}\n')
        with open(self.conf, "a", encoding="utf-8") as file:
            file.write(f"policy_listen 127.0.0.1:{self.port}\n")
            if names:
                file.write(shipped_policy(names))
            if greylists:
                file.write(f"policy {policy}\ndns {{\n    use off\n}}\nstore {{\n    path {store}/greylist.db\n}}\n"
                           "greylist {\n    delay 1s\n    new_per_network 0\n}\n")
        self.smtp_port_to(self.port)

    def smtp_port_to(self, policy_port):
        """The SMTP listener keeps a port of its own."""
        with open(self.conf, encoding="utf-8") as file:
            text = file.read()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            smtp_port = probe.getsockname()[1]
        text = text.replace(f"\nlisten 127.0.0.1:{policy_port}\n", f"\nlisten 127.0.0.1:{smtp_port}\n", 1)
        with open(self.conf, "w", encoding="utf-8") as file:
            file.write(text)


class PosternFacts(Postern):
    """The SMTP door with the shipped policy: each client's PTR is asked for, since a table of names holds one. On
    loopback there is none, which the resolver answers from what it keeps."""
    name = "postern+ptr"

    def __init__(self, folder, workers, recipients, sink_port, names):
        super().__init__(folder, workers, recipients, sink_port)
        with open(self.conf, "a", encoding="utf-8") as file:
            file.write(shipped_policy(names, bans=True))


class Postfwd(PolicyServer):
    """One rule on the recipient: what needs neither DNS nor a store. It serves only as a daemon."""
    name = "postfwd"

    def start_process(self):
        rules, pid = os.path.join(self.folder, "rules"), os.path.join(self.folder, "pid")
        with open(rules, "w", encoding="ascii") as file:
            file.write("id=UNKNOWN; recipient=~/^nobody/; action=REJECT no such recipient\n")
        shutil.chown(self.folder, "nobody")
        self.popen([program("postfwd1"), "--file", rules, "--interface", "127.0.0.1", "--port", str(self.port),
                    "--nodns", "--daemon", "--user", "nobody", "--group", "nogroup", "--pidfile", pid])
        self.process.wait(timeout=START_LIMIT_S)
        self.process = None
        with open(pid, encoding="ascii") as file:
            return int(file.read())

    def stop(self):
        if self.pid and stat_of(self.pid):
            os.kill(self.pid, signal.SIGTERM)
        self.pid = None


class Postgrey(PolicyServer):
    name = "postgrey"

    def start_process(self):
        data = os.path.join(self.folder, "data")
        os.makedirs(data, exist_ok=True)
        shutil.chown(data, "postgrey")
        command = [program("postgrey"), f"--inet=127.0.0.1:{self.port}", f"--dbdir={data}", "--delay=1",
                   "--auto-whitelist-clients=0", "--user=postgrey", "--group=nogroup", "--quiet"]
        return self.popen(command)


class Sqlgrey(PolicyServer):
    name = "sqlgrey"
    config = """\
conf_dir = /etc/sqlgrey
inet = 127.0.0.1:{port}
user = sqlgrey
group = sqlgrey
db_type = SQLite
db_name = {folder}/sqlgrey.db
pidfile = {folder}/pid
reconnect_delay = 0
connect_src_throttle = 0
greymethod = full
log_level = 0
"""

    def start_process(self):
        shutil.chown(self.folder, "sqlgrey")
        conf = os.path.join(self.folder, "sqlgrey.conf")
        with open(conf, "w", encoding="ascii") as file:
            file.write(self.config.format(port=self.port, folder=self.folder))
        return self.popen([program("sqlgrey"), "-f", conf])
