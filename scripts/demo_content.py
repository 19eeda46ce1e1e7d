"""The part of `make run DEMO=--play` that is about content: mail that survives the envelope meets the real clamd and
the real spamd, which this starts beside the gateway, offline: clamd knows the EICAR test file and nothing else, spamd
has the rules of its package and one of the demo's.

Where they are not installed the demo goes without them, and says so.
"""
import os
import re
import smtplib
import sys
import textwrap
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "e2e"))
from lib import clamd, spamd  # noqa: E402  (behind the path that makes it found)

NINE = "this-demo-scores-nine"
RULES = f"body DEMO_NINE /{NINE}/\nscore DEMO_NINE 9\ndescribe DEMO_NINE between the thresholds\n"
COLUMN, LIMIT_S = 38, 60
CONF = """
clamav {{
    server {clamd}
}}
spamassassin {{
    server {spamd}
}}
quarantine {{
    path {folder}/quarantine
}}
"""
SWITCHED_OFF = re.compile(r"^  # (quarantine \"SPAM\" .*?)\s*#.*$", re.M)

MAILS = [
    ("A virus (the EICAR test file): refused, whoever it is for", clamd.EICAR,
     r"554 5\.7\.1 Refused by policy: INFECTED \["),
    ("Spam beyond doubt (GTUBE): refused", spamd.GTUBE, r"554 5\.7\.1 Refused by policy: SPAM \["),
    ("Something between: kept in quarantine, which the sender does not learn", NINE, r"250 2\.0\.0 Message taken \["),
]


def missing():
    return " and ".join(filter(None, (clamd.missing(), spamd.missing())))


def scanners(folder):
    """Both, to be started by their start() and stopped by their stop()."""
    return [clamd.Clamd(os.path.join(folder, "clamd")), spamd.Spamd(os.path.join(folder, "spamd"), rules=RULES)]


def configuration(started, folder):
    """What postern.conf says of both scanners."""
    return CONF.format(clamd=started[0].unix, spamd=started[1].unix, folder=folder)


def switch_quarantine_on(policy):
    """The shipped policy with its line about the quarantine."""
    text, n = SWITCHED_OFF.subn(r"    \1", policy)
    assert n == 1, "the shipped policy has a line to switch on"
    return text


class ContentPlayer:
    """`player` is the one of the other scenes, whose checks these count with."""

    def __init__(self, player, maildir):
        self.player, self.maildir = player, maildir

    def send(self, title, text, expected):
        """Returns the id that the reply shows."""
        print(f"\n{title}")
        with smtplib.SMTP(*self.player.address, local_hostname="mail.good.example", source_address=("127.1.0.10", 0),
                          timeout=90) as smtp:
            smtp.ehlo()
            smtp.mail("news@example.net")
            smtp.rcpt("anna@example.com")
            code, reply = smtp.data(f"From: news@example.net\r\nTo: anna@example.com\r\nSubject: {title}\r\n"
                                    f"Date: Fri, 27 Nov 2026 12:00:00 +0000\r\nMessage-ID: <demo@example.net>\r\n\r\n"
                                    f"{text}\r\n")
        shown = f"{code} {reply.decode(errors='replace')}"
        print(textwrap.fill(f"{'the message':<{COLUMN}} {shown}", 118, initial_indent="   ",
                            subsequent_indent=" " * (COLUMN + 4)))
        self.player.check(re.match(expected, shown), f"the reply is not {expected}")
        found = re.search(r"\[([0-9a-v]{14}\.\d+)\]", shown)
        return found[1] if found else ""

    def arrived(self):
        new = os.path.join(self.maildir, "new")
        texts = [open(os.path.join(new, name), encoding="utf-8", errors="replace").read() for name in os.listdir(new)]
        return sum(NINE in text for text in texts)

    def quarantine(self, *words):
        done = self.player.command("quarantine", *words)
        said = textwrap.indent(done.stdout or done.stderr, "   ")
        print(textwrap.indent(f"postern quarantine {' '.join(words)}\n{said}", "   ").rstrip())
        return done.stdout

    def play(self):
        ids = [self.send(*mail) for mail in MAILS]
        end = time.monotonic() + LIMIT_S
        while " kept " not in self.player.command("quarantine", "list").stdout and time.monotonic() < end:
            time.sleep(0.1)
        self.player.check(ids[-1] in self.quarantine("list"), "the message is in quarantine")
        self.player.check(self.arrived() == 0, "nobody has got it")
        self.player.check("released" in self.quarantine("release", ids[-1]), "it is released")
        self.player.check(self.arrived() == 1, "it has arrived")
        print("\nWhat content was: postern report content")
        report = ""
        while "1 Quarantined Spam" not in report and time.monotonic() < end:
            report = self.player.command("report", "content").stdout
            time.sleep(0.1)
        print(textwrap.indent(report, "   "))
        for line in ("1 Blocked Infected", "1 Blocked Spam", "1 Quarantined Spam"):
            self.player.check(line in report, f"the report counts {line}")
