"""How long does a bystander wait while one client does its worst?

One worker. A client of good manners says EHLO every few milliseconds, first alone and then beside each attack; the
table shows the longest answer it waited for, the 99th percentile, and that as a multiple of the quiet one. To add an
attack: a row in ATTACKS, with a function that plays it from one or more connections until the time is over.
"""
import os
import socket
import subprocess
import sys
import time

from servers import DOMAIN, ROOT, Postern

TLS_ATTACK = os.path.join(ROOT, "build", "bench", "tls_attack")
EVERY_S = 0.004
LONGEST_S, P99_RATIO = 0.050, 3
HEADER_BLOCK = b"a:\r\n" * 16384


class PosternAlone(Postern):
    """One worker, with TLS, and with limits that let the attacks have their way."""
    name = "postern"
    config = Postern.config.replace("limits {{", "limits {{\n    junk_commands 10000\n    errors 1000") + """
tls {{
    certificate {folder}/tls.pem {folder}/tls.key
}}
"""

    def __init__(self, folder, recipients, sink_port):
        super().__init__(folder, 1, recipients, sink_port)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=bench", "-days", "1", "-keyout", f"{self.folder}/tls.key", "-out",
                        f"{self.folder}/tls.pem"], check=True, capture_output=True)


# ---- the attacks: each is a process of its own, and ends when its time does

def dialogue(port, *commands):
    peer = socket.create_connection(("127.0.0.1", port))
    file = peer.makefile("rb")
    for command in ("", *commands):
        if command:
            peer.sendall(command.encode() + b"\r\n")
        while (line := file.readline())[3:4] == b"-":
            pass
        if line[:1] not in (b"2", b"3"):
            raise OSError(line.decode())
    return peer


def send_for_ever(peer, block, until):
    """Until the time is over or the server has had enough. What it says is thrown away."""
    peer.setblocking(False)
    at = 0
    while time.monotonic() < until:
        try:
            at = (at + peer.send(block[at:])) % len(block)
        except BlockingIOError:
            time.sleep(0.001)
        try:
            if not peer.recv(65536):
                return
        except BlockingIOError:
            pass


def again_and_again(play):
    def attack(port, until):
        while time.monotonic() < until:
            try:
                play(port, until)
            except OSError:
                time.sleep(0.01)
    return attack


def tiny_fields(port, until):
    message = dialogue(port, "EHLO x", "MAIL FROM:<a@x.example>", f"RCPT TO:<user1@{DOMAIN}>", "DATA")
    send_for_ever(message, HEADER_BLOCK, until)


def header_at_the_limit(port, until):
    """What passes all limits and has the most fields: it is walked through twice on its way out."""
    while time.monotonic() < until:
        peer = dialogue(port, "EHLO x", "MAIL FROM:<a@x.example>", f"RCPT TO:<user1@{DOMAIN}>", "DATA")
        peer.sendall(b"X-Spam-A:\r\na:\r\n" * 4999 + b"\r\n.\r\n")
        peer.recv(4096)


def commands(line):
    return lambda port, until: send_for_ever(dialogue(port, "EHLO x"), line * (65536 // len(line)), until)


def tls(what):
    def attack(port, until):
        subprocess.run([TLS_ATTACK, what, str(port), str(max(1, int(until - time.monotonic())))], check=True,
                       stdout=subprocess.DEVNULL)
    return attack


ATTACKS = {
    "TLS 1.3 KeyUpdates": tls("keyupdate"),
    "TLS 1.2 ClientHellos": tls("hello"),
    "TLS 1.2 empty records": tls("empty"),
    "a header of fields a:": again_and_again(tiny_fields),
    "a header at the limits": again_and_again(header_at_the_limit),
    "pipelined NOOP": again_and_again(commands(b"NOOP\r\n")),
    "pipelined RCPT": again_and_again(commands(b"RCPT TO:<a@x.example>\r\n")),
    "chunks of a byte": again_and_again(commands(b"BDAT 1\r\nx")),
}


# ---- the bystander

class Bystander:
    """Says EHLO and waits for the answer."""

    def __init__(self, port):
        self.port = port
        self.peer = None
        self.n = 0

    def ehlo_s(self):
        if self.n % 1000 == 0:
            self.peer = dialogue(self.port)
        self.n += 1
        begun = time.monotonic()
        self.peer.sendall(b"EHLO bystander.example\r\n")
        if not self.peer.recv(4096):
            raise RuntimeError("attacks: the bystander was cut off")
        return time.monotonic() - begun

    def watch(self, seconds):
        """Returns the longest wait and the 99th percentile, in seconds."""
        until = time.monotonic() + seconds
        waits = []
        while time.monotonic() < until:
            waits.append(self.ehlo_s())
            time.sleep(EVERY_S)
        waits.sort()
        return waits[-1], waits[len(waits) * 99 // 100]


def play(name, port, until):
    """In a process of its own, whose time is not the bystander's."""
    return subprocess.Popen([sys.executable, os.path.abspath(__file__), name, str(port), str(until)],
                            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measure(table, server, seconds):
    """Adds a row for each attack. Returns what was not kept."""
    faults = []
    quiet_longest, quiet = Bystander(server.port).watch(seconds)
    table.add("EHLO, nothing else, longest", server.name, f"{quiet_longest * 1e3:.1f} ms")
    table.add("EHLO, nothing else, p99", server.name, f"{quiet * 1e3:.2f} ms")
    for name in ATTACKS:
        attacker = play(name, server.port, time.monotonic() + seconds)
        longest, p99 = Bystander(server.port).watch(seconds)
        attacker.wait()
        table.add(f"EHLO, {name}, longest", server.name, f"{longest * 1e3:.1f} ms", aim="<= 50 ms")
        table.add(f"EHLO, {name}, p99", server.name, f"{p99 * 1e3:.2f} ms", p99 / quiet, f"<= {P99_RATIO} x")
        if attacker.returncode != 0:
            faults.append(f"attacks: {name}: was not played")
        if longest > LONGEST_S or p99 > P99_RATIO * quiet:
            faults.append(f"attacks: {name}: a bystander waited {longest * 1e3:.0f} ms, p99 {p99 / quiet:.1f} x quiet")
    return faults


if __name__ == "__main__":
    ATTACKS[sys.argv[1]](int(sys.argv[2]), float(sys.argv[3]))
