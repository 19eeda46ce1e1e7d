"""The gateway with scanners, as the bench measures it: canned ones, whose time is nobody's, or the real clamd."""
import os
import socket
import subprocess
import sys
import time

from servers import ROOT, Postern, free_port

sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
from lib import clamd  # noqa: E402  (behind the path that makes it found)

POLICY = """\
layer content {
    reject "INFECTED" when virus
    reject "SPAM" when spam.score >= 12
    tag "SPAM" when spam.score >= 5
    tag "BAD HEADER" when header.bad
    reject "ATTACHMENT" when attachment.banned
}
"""
START_LIMIT_S = 10
PIECE = (b"0123456789abcdef" * 4 + b"\r\n") * 1000


class CannedScanners:
    def __init__(self, hangs=False):
        self.ports, self.hangs, self.process = (free_port(), free_port()), hangs, None

    def __enter__(self):
        program = os.path.join(ROOT, "bench", "canned_scanners.py")
        command = [sys.executable, program, *(["--hang"] if self.hangs else []), *map(str, self.ports)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        end = time.monotonic() + START_LIMIT_S
        for port in self.ports:
            while time.monotonic() < end:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class PosternContent(Postern):
    """With the rules of the shipped policy about content, and all that is looked at of a message."""
    name = "postern+scan"

    def __init__(self, folder, workers, recipients, sink_port, scanners):
        super().__init__(folder, workers, recipients, sink_port)
        policy = os.path.join(self.folder, "policy")
        with open(policy, "w", encoding="utf-8") as file:
            file.write(POLICY)
        with open(self.conf, "a", encoding="utf-8") as file:
            file.write(f"policy {policy}\ndns {{\n    use off\n}}\n{scanners}")


def canned(scanners):
    """The blocks of postern.conf."""
    return (f"clamav {{\n    server 127.0.0.1:{scanners.ports[0]}\n    connections 400\n}}\n"
            f"spamassassin {{\n    server 127.0.0.1:{scanners.ports[1]}\n    connections 400\n}}\n")


class RealClamd:
    """Knows the EICAR test file and nothing else; None of the with block: it is not installed."""

    def __init__(self, folder):
        self.server = None if clamd.missing() else clamd.Clamd(os.path.join(folder, "clamd"), MaxThreads=8)

    def __enter__(self):
        return self.server.start() if self.server else None

    def __exit__(self, *_):
        if self.server:
            self.server.stop()


class Waiting:
    """Messages that have been sent and are not answered, as long as the with block lasts."""

    def __init__(self, port, n, domain, size=5000):
        self.port, self.n, self.domain, self.size, self.sockets = port, n, domain, size, []

    def __enter__(self):
        for number in range(self.n):
            client = socket.create_connection(("127.0.0.1", self.port), timeout=60,
                                              source_address=(f"127.2.0.{number % 200 + 1}", 0))
            self.sockets.append(client)
            for line in ("EHLO client.example.net", "MAIL FROM:<a@client.example.net>",
                         f"RCPT TO:<user1@{self.domain}>", "DATA"):
                client.recv(4096)
                client.sendall(line.encode() + b"\r\n")
            client.recv(4096)
            client.sendall(b"Subject: waits\r\n\r\n")
            for _ in range(self.size // len(PIECE) + 1):
                client.sendall(PIECE[:self.size])
            client.sendall(b"\r\n.\r\n")
        return self

    def __exit__(self, *_):
        for client in self.sockets:
            client.close()
