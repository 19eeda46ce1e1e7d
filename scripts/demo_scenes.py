"""The show of `make run DEMO=--play`: a list of scenes, each a client that comes to the gateway, what it is answered,
and what `postern explain` says about it. A scene is data; what is new in the gateway gets a scene in SCENES.

Clients connect from 127.x.y.z; etc/demo/zones says which names these have and which lists hold them.
"""
import json
import re
import smtplib
import subprocess
import textwrap
import time
from dataclasses import dataclass, field

JOURNAL_LIMIT_S, PROBES_LIMIT_S, DELAY_LIMIT_S = 60, 60, 60
COLUMN = 38
MESSAGE = ("From: {sender}\r\nTo: {to}\r\nSubject: {title}\r\nDate: Fri, 27 Nov 2026 12:00:00 +0000\r\n"
           "Message-ID: <demo@example.net>\r\n\r\nHello.\r\n")


@dataclass
class Scene:
    title: str
    client: str
    helo: str
    to: str
    reply: str                                   # a pattern that the last reply matches
    explain: list = field(default_factory=list)  # patterns, each of a line that explain prints
    asks_lists: bool = False
    sender: str = "news@example.net"
    comes_back: bool = False                     # again and again, until it is no longer told to wait


SCENES = [
    Scene("An ordinary client is let through", "127.1.0.10", "mail.good.example", "anna@example.com", r"250 ",
          [r"verdict +pass", r"policy +reject +RBL MULTIPLE +false +dnsbl\.hits"], asks_lists=True),
    Scene("Nobody of that name: refused from our own directory", "127.1.0.10", "mail.good.example",
          "nobody@example.com", r"550 5\.1\.1 No such recipient here", [r'verdict +reject "NO SUCH USER"']),
    Scene("No PTR, but a good HELO: suspicious, and has to wait", "127.1.0.50", "mail.good.example", "anna@example.com",
          r"451 4\.7\.1 Greylisted", [r'verdict +greylist "SUSPICIOUS"']),
    Scene("It comes back, as a mail server does, and is let through", "127.1.0.50", "mail.good.example",
          "anna@example.com", r"250 ", [r"verdict +pass"], asks_lists=True, comes_back=True),
    Scene("No PTR and a literal HELO: has to wait, too", "127.1.0.66", "[127.1.0.66]", "anna@example.com",
          r"451 4\.7\.1 Greylisted", [r'verdict +greylist "SUSPICIOUS"'], sender="offer@example.net"),
    Scene("When it comes back it is refused, and no block list is asked", "127.1.0.66", "[127.1.0.66]",
          "anna@example.com", r"550 5\.7\.1 Refused by policy: PTRNUL HELO_IP \[",
          [r'verdict +reject "PTRNUL HELO_IP"', r"policy +reject +PTRNUL HELO_IP +true +ptr\.none, helo\.address"],
          sender="offer@example.net", comes_back=True),
    Scene("One listing alone refuses nobody: with a good PTR and HELO it is let through", "127.1.0.20",
          "mail.listed.example", "anna@example.com", r"250 ",
          # when the other list says no first, two are out of reach, and nobody waits for this one
          [r"verdict +pass", r"policy +reject +RBL MULTIPLE +false +dnsbl\.hits",
           r"dnsbl +spam\.dnsbl\.example +127\.0\.0\.2|dnsbl\.hits +unknown \(0\.\.1\)"], asks_lists=True),
    Scene("Two listings do: refused, with the lists and what they say", "127.1.0.30", "mail.spammer.example",
          "anna@example.com",
          r"550 5\.7\.1 Refused by policy: RBL MULTIPLE MAIN; listed by "
          r"spam\.dnsbl\.example \(Sent spam, see http://spam\.dnsbl\.example/\?127\.1\.0\.30\), "
          r"bots\.dnsbl\.example \(Infected machine, see http://bots\.dnsbl\.example/127\.1\.0\.30\) \[",
          [r'verdict +reject "RBL MULTIPLE MAIN"', r"dnsbl +spam\.dnsbl\.example +127\.0\.0\.2",
           r"dnsbl +bots\.dnsbl\.example +127\.0\.0\.4"], asks_lists=True),
    Scene("A server of our own is let through with all of that against it", "127.1.0.40", "[127.1.0.40]",
          "anna@example.com", r"250 ",
          [r'verdict +accept "OWN CLIENT"', r"connection +accept +OWN CLIENT +true +client in relay_clients"]),
    Scene("example.org has `enforce no`: let through, and what would have refused it is told", "127.1.0.66",
          "[127.1.0.66]", "anna@example.org", r"250 ",
          [r"verdict +pass", r"policy +shadow reject +PTRNUL HELO_IP +true"], asks_lists=None),
    Scene("The same for two listings", "127.1.0.30", "mail.spammer.example", "bert@example.org", r"250 ",
          [r"verdict +pass", r'enforced +reject "RBL MULTIPLE MAIN"',
           r"policy +shadow reject +RBL MULTIPLE MAIN +true"], asks_lists=True),
]


class Player:
    """Plays against a gateway at `address`; `postern` is the program, with the configuration that the gateway has."""

    def __init__(self, address, postern, conf):
        self.address, self.postern, self.conf = address, postern, conf
        self.failures = []
        self.then = None  # a further act, behind the scenes

    def command(self, name, *arguments):
        return subprocess.run([self.postern, name, "-c", self.conf, *arguments], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)

    def check(self, holds, what):
        if not holds:
            self.failures.append(what)
            print(f"   FAILED: {what}")

    def lists(self):
        """What status tells of the block lists, as far as they are asked about IPv4."""
        done = self.command("status", "--json")
        lists = json.loads(done.stdout)["block_lists"] if done.returncode == 0 else []
        return [one for one in lists if one["kind"] == "IPv4"]

    def asked_lists(self):
        """How often block lists were asked about clients so far."""
        return sum(one["asked"] for one in self.lists())

    def wait_for_probes(self):
        """A list counts only once each worker has put it to the test."""
        end = time.monotonic() + PROBES_LIMIT_S
        while not (lists := self.lists()) or not all(one["trusted"] for one in lists):
            if time.monotonic() > end:
                self.check(False, f"the block lists are not trusted: {lists}")
                return
            time.sleep(0.1)

    def wait_for_delay(self, scene):
        """Tries the envelope until it is not told to wait."""
        end = time.monotonic() + DELAY_LIMIT_S
        while time.monotonic() < end:
            with smtplib.SMTP(*self.address, local_hostname=scene.helo, source_address=(scene.client, 0)) as smtp:
                smtp.ehlo()
                smtp.mail(scene.sender)
                if smtp.rcpt(scene.to)[0] != 451:
                    return
            time.sleep(0.2)

    def talk(self, scene):
        """The last reply: the first that refuses, or that to the message. And the id of the recipient's decision."""
        def say(line, code, text=b""):
            shown = f"{code} {text.decode(errors='replace')}"
            print(textwrap.fill(f"{line:<{COLUMN}} {shown}", 118, initial_indent="   ",
                                subsequent_indent=" " * (COLUMN + 4)))
            return shown
        source = (scene.client, 0)
        with smtplib.SMTP(*self.address, local_hostname=scene.helo, source_address=source, timeout=30) as smtp:
            reply = say(f"{scene.client}  EHLO {scene.helo}", smtp.ehlo()[0])
            reply = say(f"MAIL FROM:<{scene.sender}>", *smtp.mail(scene.sender))
            if reply.startswith("2"):
                reply = say(f"RCPT TO:<{scene.to}>", *smtp.rcpt(scene.to))
            if reply.startswith("2"):
                reply = say("the message", *smtp.data(MESSAGE.format(**vars(scene))))
        found = re.search(r"\[([0-9a-v]{14})(?:\.\d+)?\]", reply)
        return reply, f"{found[1]}.1" if found else ""

    def explain(self, decision):
        """What explain says, when the journal has it: workers write it once a second."""
        end = time.monotonic() + JOURNAL_LIMIT_S
        while True:
            done = self.command("explain", decision)
            if done.returncode == 0 or time.monotonic() > end:
                return done.stdout or done.stderr
            time.sleep(0.1)

    def play(self, scene):
        if scene.comes_back:
            self.wait_for_delay(scene)
        before = self.asked_lists()
        reply, decision = self.talk(scene)
        asked = self.asked_lists() - before
        self.check(re.match(scene.reply, reply), f"the last reply is not {scene.reply}")
        self.check(decision, "the last reply shows no id")
        if scene.asks_lists is not None:
            print(f"   {'block lists were asked':<{COLUMN}} {asked} times")
            self.check((asked > 0) == scene.asks_lists, "block lists are asked only where they matter")
        told = self.explain(decision) if decision else ""
        print(f"   postern explain {decision}")
        for pattern in scene.explain:
            line = next((line for line in told.splitlines() if re.search(pattern, line)), None)
            print(f"      {line.strip()}" if line else "      …")
            self.check(line, f"explain says nothing like {pattern}")

    def play_all(self):
        """Returns the number of failures."""
        self.wait_for_probes()
        for number, scene in enumerate(SCENES, 1):
            print(f"\n{number}. {scene.title}")
            try:
                self.play(scene)
            except OSError as error:  # smtplib's own are too
                self.check(False, f"the conversation broke off: {error}")
        if self.then is not None:
            self.then()
        print("\nWhat each rule did, by the journal: postern report policy")
        report = self.command("report", "policy").stdout
        print(textwrap.indent(report, "   "))
        self.check("PTRNUL HELO_IP (shadow)" in report, "the report counts what would have been refused")
        print("Who had to wait, and who came back: postern report greylist")
        report = self.command("report", "greylist").stdout
        print(textwrap.indent(report, "   "))
        self.check(re.search(r"^ *\d+ Pass retry$", report, re.M), "the report counts who came back")
        print(f"{len(SCENES)} scenes, {len(self.failures)} checks failed")
        return len(self.failures)
