"""Hosts that share their greylist: gateways by what their greylist says, with a clock of their own where a test wants
one."""
import os
import re

from lib.client import Client
from lib.postern import ROOT
from lib.wait import eventually

RULES = 'layer greylist {\n    greylist "ALL" when not rcpt.postmaster\n}\n'
MODULE = os.path.join(ROOT, "build", "src", "store", "postgres.so")
FAKETIME = "/usr/$LIB/faketime/libfaketime.so.1"  # $LIB is the dynamic linker's


def clock(ahead_s):
    """The environment of a program whose clock is so many seconds ahead; what measures spans runs as it does."""
    return {"LD_PRELOAD": FAKETIME, "FAKETIME": f"{ahead_s:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


class Host:
    def __init__(self, gateway):
        self.gateway = gateway

    def decisions(self, sender):
        return [record for record in self.gateway.journal() if record.get("sender") == sender]

    def decide(self, sender):
        """Asks once. Returns the journal's record."""
        before = len(self.decisions(sender))
        with Client(self.gateway.address) as client:
            client.ehlo()
            client.command(f"MAIL FROM:<{sender}>")
            client.command("RCPT TO:<anna@example.com>")
        return eventually(lambda: self.decisions(sender)[before:], f"a record about {sender}")[-1]

    def status(self, sender):
        """Asks once. Returns the greylist's status."""
        return self.decide(sender).get("greylist")

    def seconds_left(self, sender):
        """Asks once, about one who has to wait."""
        text = self.decide(sender)["reply"]["text"]
        return int(re.search(r"try again in (\d+) second", text)[1])

    def store(self):
        return self.gateway.status()["store"]

    def start(self, shared="up"):
        self.gateway.start()
        self.wait_shared(shared)
        return self

    def wait_shared(self, state):
        eventually(lambda: (store := self.store()) and store["state"] == "ready" and store["shared"] == state,
                   f"the shared store is {state}", 40)

    def wait_handed_in(self):
        eventually(lambda: self.store()["pending"] == 0, "what was learned is handed in", 20)

    def greylist(self, *arguments):
        """`postern greylist`, which must succeed. Returns its output."""
        done = self.gateway.command("greylist", *arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout
