"""Real name servers on loopback: NSD for zones, rbldnsd for block lists.

Neither becomes a daemon; each is a process group of its own, so that a test can stop all of it in the middle of its
work (freeze) and let it go on (thaw). Zones are given as text, without SOA and NS. A list's zone is asked of rbldnsd
directly (`stub` in postern.conf), as a site does that mirrors it. What was asked of rbldnsd it writes down itself;
where the types matter, or NSD is asked, a Tap stands before it.
"""
import os
import re
import select
import shutil
import signal
import socket
import struct
import threading

from lib.ports import LOOPBACK, free_port
from lib.postern import worker_user
from lib.program import Program, is_root, tail
from lib.wait import eventually

START_LIMIT_S = 60
ANSWER_LIMIT_S = 1
TYPE_SOA = 6
TYPE_NAMES = {1: "A", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA"}

NSD_CONF = """\
server:
    ip-address: {address}@{port}
    server-count: 1
    username: ""
    zonesdir: "{folder}"
    database: ""
    pidfile: "{folder}/pid"
    xfrdfile: ""
    xfrdir: "{folder}"
    zonelistfile: "{folder}/zone.list"
remote-control:
    control-enable: no
"""
NSD_ZONE = 'zone:\n    name: "{zone}"\n    zonefile: "{zone}.zone"\n'
ZONE_HEAD = """\
$ORIGIN {zone}.
$TTL {ttl}
@ SOA ns.nameserver.example. hostmaster.nameserver.example. 1 3600 600 86400 {ttl}
@ NS ns.nameserver.example.
"""
LIST_HEAD = "$TTL {ttl}\n$SOA {ttl} ns.nameserver.example hostmaster.nameserver.example 1 3600 600 86400 {ttl}\n" \
            "$NS {ttl} ns.nameserver.example\n"


def missing():
    """Which of the programs are not installed; '' when all are."""
    return " ".join(name for name in ("nsd", "rbldnsd") if not program(name))


def program(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")


def question_of(packet):
    """(type, name) of a message's question, the name in lower case."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("ascii", "backslashreplace").lower())
        at += packet[at] + 1
    kind = int.from_bytes(packet[at + 1:at + 3], "big")
    return TYPE_NAMES.get(kind, str(kind)), ".".join(labels)


class NameServer(Program):
    """Subclasses set `zones` (by name) and define command(). What is asked may be kept for `ttl` seconds."""

    def __init__(self, folder, zones, ttl=60):
        os.makedirs(folder)
        os.chmod(folder, 0o755)
        super().__init__(folder)
        self.zones = zones
        self.ttl = ttl
        self.port = free_port()
        self.is_frozen = False

    def __str__(self):
        return f"{LOOPBACK}:{self.port}"

    def start(self):
        self.launch(self.command(), start_new_session=True)
        zone = next(iter(self.zones))
        eventually(lambda: not self.is_running() or self.answers(zone), f"{self.name} answers", START_LIMIT_S)
        assert self.is_running(), self.report()
        return self

    def answers(self, zone):
        """True when it answers a question about the zone's SOA."""
        labels = b"".join(bytes([len(label)]) + label.encode() for label in zone.split("."))
        question = struct.pack("!6H", 1, 0, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", TYPE_SOA, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
            asks.settimeout(ANSWER_LIMIT_S)
            asks.connect((LOOPBACK, self.port))
            try:
                asks.send(question)
                return len(asks.recv(4096)) > len(question)
            except OSError:
                return False

    def freeze(self):
        """It keeps its sockets, and answers nothing."""
        os.killpg(self.pid, signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self):
        os.killpg(self.pid, signal.SIGCONT)
        self.is_frozen = False

    def stop(self):
        if self.is_frozen:
            self.thaw()
        return super().stop()


class Nsd(NameServer):
    """Serves `zones`: name to records. None for records: a zone that it has and cannot load, answered by SERVFAIL."""
    name = "nsd"

    def command(self):
        conf = os.path.join(self.folder, "nsd.conf")
        with open(conf, "w", encoding="utf-8") as file:
            file.write(NSD_CONF.format(address=LOOPBACK, port=self.port, folder=self.folder))
            file.write("".join(NSD_ZONE.format(zone=zone) for zone in self.zones))
        for zone, records in self.zones.items():
            if records is not None:
                with open(os.path.join(self.folder, f"{zone}.zone"), "w", encoding="utf-8") as file:
                    file.write(ZONE_HEAD.format(zone=zone, ttl=self.ttl) + records)
        return [program("nsd"), "-d", "-c", conf]


class Rbldnsd(NameServer):
    """Serves `zones`: name to (type of data set, its lines), as in rbldnsd(8), or to several of them."""
    name = "rbldnsd"

    def data_sets(self):
        return [(zone, kind, lines) for zone, sets in self.zones.items()
                for kind, lines in (sets if isinstance(sets, list) else [sets])]

    def write(self, zone, kind, lines):
        path = os.path.join(self.folder, f"{zone}.{kind}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(LIST_HEAD.format(ttl=self.ttl) + lines)
        return path

    def command(self):
        self.log = os.path.join(self.folder, "questions")
        for data_set in self.data_sets():
            self.write(*data_set)
        specs = [f"{zone}:{kind}:{zone}.{kind}" for zone, kind, _ in self.data_sets()]
        user = []
        if is_root():  # which it does not want to run as; its log is opened by who it is then
            user = ["-u", worker_user()]
            shutil.chown(self.folder, worker_user())
        return [program("rbldnsd"), "-n", *user, "-b", f"{LOOPBACK}/{self.port}", "-w", self.folder,
                "-l", "+questions", *specs]

    def change(self, zone, kind, lines):
        """The data set holds this from now on. Returns when it is served."""
        seen = tail(self.output).count("zones reloaded")
        path = os.path.join(self.folder, f"{zone}.{kind}")
        before = os.stat(path).st_mtime  # by whose second rbldnsd knows whether a file is new
        os.utime(self.write(zone, kind, lines), (before + 1, before + 1))
        self.send_signal(signal.SIGHUP)
        eventually(lambda: tail(self.output).count("zones reloaded") > seen, "rbldnsd has read its zones again")

    def questions(self, about):
        """The names that were asked about this IPv4 address, or that begin with this name, in order."""
        is_address = re.fullmatch(r"[\d.]+", about)
        start = (".".join(reversed(about.split("."))) if is_address else about) + "."
        with open(self.log, encoding="utf-8") as file:
            return [word for line in file for word in line.split() if word.startswith(start)]


class Tap:
    """Stands before a name server, hands on what comes over UDP, and writes down each question. What is asked again
    before it was answered, since the answer took long, is one question."""

    def __init__(self, server):
        self.inner, self.outer = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self.inner.connect((LOOPBACK, server.port))
        self.outer.bind((LOOPBACK, 0))
        self.wake, self.woken = socket.socketpair()
        self.questions = []  # (type, name), in order
        self.waiting = {}    # by question: who waits for its answer, by id
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def __str__(self):
        return f"{LOOPBACK}:{self.outer.getsockname()[1]}"

    def run(self):
        while True:
            ready, _, _ = select.select([self.inner, self.outer, self.woken], [], [])
            if self.woken in ready:
                return
            self.take_questions()
            if self.inner in ready:
                self.hand_back(self.inner.recv(65536))

    def take_questions(self):
        """All that are there, before an answer is handed back."""
        while True:
            try:
                packet, client = self.outer.recvfrom(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            question = question_of(packet)
            if question not in self.waiting:
                self.questions.append(question)
            self.waiting.setdefault(question, {})[packet[:2]] = client
            self.inner.send(packet)

    def hand_back(self, packet):
        client = self.waiting.pop(question_of(packet), {}).get(packet[:2])
        if client:
            self.outer.sendto(packet, client)

    def stop(self):
        self.wake.send(b"x")
        self.thread.join()
        for sock in (self.inner, self.outer, self.wake, self.woken):
            sock.close()
