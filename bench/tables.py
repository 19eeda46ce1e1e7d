"""The measure of tables: a million prefixes are exchanged for others while clients are served.

What clients notice is the longest session of all, against the longest one of as much traffic when no table changes;
what the master's callers notice is the longest answer to `status`, which is asked for without pause meanwhile (the
start of a process is in it). The exchange is done twice: by the file alone, and by a reload.
"""
import json
import os
import socket
import subprocess
import time

from servers import DOMAIN, ROOT, Postern

LOAD = os.path.join(ROOT, "build", "bench", "load")
BANNED = "127.255.255.254"  # by the second table, and by no other; `load` does not come from there
ROUND = 4000                # sessions
QUIET_ROUNDS = 10
LIMIT_S = 120


class PosternTable(Postern):
    name = "postern"

    def __init__(self, folder, workers, recipients, sink_port):
        super().__init__(folder, workers, recipients, sink_port)
        self.table, policy = os.path.join(self.folder, "banned"), os.path.join(self.folder, "policy")
        with open(policy, "w", encoding="utf-8") as file:
            file.write('layer policy { reject "BANNED" when client in banned }\n')
        with open(self.conf, "a", encoding="utf-8") as file:
            file.write(f"policy {policy}\ndns {{\n    use off\n}}\ntable banned cidr {{\n    file {self.table}\n}}\n")

    def command(self, *words):
        begin = time.monotonic()
        subprocess.run([self.program, *words, "-c", self.conf], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=True)
        return time.monotonic() - begin

    def write_table(self, n, seed, others=""):
        """Networks outside of loopback, in no order, renamed into place."""
        with open(self.table + ".new", "w", encoding="ascii") as file:
            file.write(others)
            for i in range(n):
                x = (i * 2654435761 + seed) % (1 << 24)
                file.write(f"{11 + (x >> 16) % 100}.{x >> 8 & 255}.{x & 255}.{i % 4 * 64}/26\n")
        os.rename(self.table + ".new", self.table)

    def bans(self):
        """True when a client that only the second table has is refused."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10, source_address=(BANNED, 0)) as connection:
            stream = connection.makefile("rwb")
            for command in (None, "EHLO probe.example", "MAIL FROM:<>", f"RCPT TO:<user0@{DOMAIN}>"):
                if command:
                    stream.write(command.encode() + b"\r\n")
                    stream.flush()
                line = stream.readline()
                while line[3:4] == b"-":
                    line = stream.readline()
            return line.startswith(b"5")


class Traffic:
    """Rounds of sessions, and what was the worst of them."""

    def __init__(self, server):
        self.server, self.longest_us, self.status_s = server, 0, 0.0
        self.done = self.failed = self.rounds = 0

    def round(self):
        command = [LOAD, "-n", str(ROUND), "-c", "8", "refuse", str(self.server.port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            while process.poll() is None:
                self.status_s = max(self.status_s, self.server.command("status"))
            result = json.loads(process.communicate()[0])
        self.longest_us = max(self.longest_us, result["max_us"])
        self.done += result["done"]
        self.failed += result["failed"]
        self.rounds += 1
        return self

    def note(self):
        return f"{self.done} sessions, {self.failed} failed"


def exchange(server, change):
    """Traffic until the second table is used, and the rounds in which the workers may still build theirs."""
    traffic, used_s = Traffic(server), None
    change()
    begin = time.monotonic()
    while used_s is None and time.monotonic() - begin < LIMIT_S:
        traffic.round()
        if server.bans():
            used_s = time.monotonic() - begin
    for _ in range(3):
        traffic.round()
    return traffic, used_s


def tell(table, server, what, traffic, quiet=None):
    table.add(f"longest session, {what}", server.name, f"{traffic.longest_us / 1e3:.1f} ms",
              traffic.longest_us / quiet.longest_us if quiet else None, "0 failed" if quiet else "", traffic.note())
    table.add(f"longest status, {what}", server.name, f"{traffic.status_s * 1e3:.0f} ms",
              traffic.status_s / quiet.status_s if quiet else None)


def measure(table, server, n):
    """Of a server that runs with a table of n prefixes."""
    quiet = Traffic(server)
    while quiet.rounds < QUIET_ROUNDS:
        quiet.round()
    tell(table, server, "same table", quiet)
    banned = BANNED + "\n"
    reloading = []

    def reload():
        command = [server.program, "reload", "-c", server.conf]
        reloading.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def by_file():
        server.write_table(n, 1, banned)
    traffic, used_s = exchange(server, by_file)
    tell(table, server, "another one", traffic, quiet)
    table.add(f"until {n} prefixes are used", server.name, f"{used_s:.1f} s" if used_s else "-",
              note="5 to 10 s to settle")

    server.write_table(n, 2)
    server.command("reload")
    server.write_table(n, 3, banned)
    traffic, used_s = exchange(server, reload)
    tell(table, server, "reload", traffic, quiet)
    table.add(f"until {n} are used by a reload", server.name, f"{used_s:.1f} s" if used_s else "-")
    for process in reloading:
        process.wait()
