"""How many questions to DNS do a thousand sessions cost? The mix, what the shipped policy may ask about each kind of
session, and the count of what name servers were asked.

A kind has client addresses (127.N.0.0/16), host names and sender domains of its own, so that each question says whose
it was. What a client may cost is derived here from the rules of etc/policy, rule by rule, and not by asking Postern:

  - layer connection: the tables of addresses answer at once; `banned_names` is empty, so no PTR is asked for here.
  - Relay control and unknown recipients come before all that asks: nothing.
  - layer greylist wants a name for whoever is not accepted before: `well_known_senders` holds names, and the store
    knows clients by theirs. So one PTR, and one A of its name to confirm it. Who is suspicious ends here with 451.
  - layer policy: what PTR and HELO say is known by then. The sender's domain: one MX; without that name no A and no
    AAAA. The null sender has none. Then the lists, each once; and one TXT for each that lists a client it is refused
    upon, for the words of the reply.

Whatever is asked twice is remembered, so this is what a client may cost however often it comes.
"""
import json
import os
import subprocess
import time

from policy_servers import LISTS, chown_to_worker, nameserver, policy_tables
from servers import DOMAIN, ROOT, Postern

LOAD = os.path.join(ROOT, "build", "bench", "load")
TTL_S = 3600  # nothing is forgotten while it is measured
TRUST_LIMIT_S = 20
GREYLIST_WAIT_S = 1.5
FIRST_NET = 20
NAME = {"PTR": 1, "A": 1}
LISTED = {"A list": len(LISTS)}


class Kind:
    """Sessions of one kind. `classes`: those of the replies that the recipient of each session of a client gets, in
    two rounds if the client comes back after the greylist's delay. `may_ask`: questions by type that a client may
    cost. `helo`, `sender`, `recipient`: with {n} the client's number, {ip} its address, {label} the kind's name."""

    def __init__(self, title, clients, classes, may_ask, helo="mail{n}.{label}.example", ptr=None, at_once=1,
                 sender="news@s{n}.{label}.example", recipient="user{n}@" + DOMAIN, listed=0, has_mx=True):
        self.title, self.clients, self.classes, self.may_ask = title, clients, classes, may_ask
        self.helo, self.ptr, self.sender, self.recipient = helo, ptr, sender, recipient
        self.at_once, self.listed, self.has_mx = at_once, listed, has_mx
        self.label = self.net = None  # given by the mix

    @property
    def sessions(self):
        return self.clients * self.at_once * len(self.classes)

    def address(self, number):
        return f"127.{self.net}.{number // 250}.{number % 250 + 1}"

    def text(self, template, number):
        ip = self.address(number)
        return template.format(n=number, ip=ip, dashes=ip.replace(".", "-"), label=self.label) if template else "-"

    def lines(self, turn):
        """Of this turn, for `load play`."""
        if turn >= len(self.classes):
            return []
        return [f"{self.address(n)} {self.text(self.helo, n)} {self.text(self.sender, n)} "
                f"{self.text(self.recipient, n)} {self.classes[turn]}\n"
                for n in range(self.clients) for _ in range(self.at_once)]

    def records(self):
        """What NSD says in zone example."""
        own = [f"{self.text(self.ptr, n)}. A {self.address(n)}\n" for n in range(self.clients) if self.ptr]
        if self.sender and self.has_mx:
            own += [f"{self.text(self.sender, n).split('@')[1]}. MX 10 mx\n" for n in range(self.clients)]
        return "".join(own)

    def reverse(self):
        """The same in zone 127.in-addr.arpa."""
        return "".join(f"{reverse_of(self.address(n))}.in-addr.arpa. PTR {self.text(self.ptr, n)}.\n"
                       for n in range(self.clients) if self.ptr)


GOOD_NAME = "mail{n}.{label}.example"
ACCESS_NAME = "dsl-{dashes}.dynamic.{label}.example"
CLEAN = {**NAME, "MX": 1, **LISTED}
KINDS = [
    Kind("unknown recipient, literal HELO", 215, "5", {}, helo="[{ip}]", recipient="nobody{n}@" + DOMAIN),
    Kind("unknown recipient, good name", 215, "5", {}, ptr=GOOD_NAME, recipient="nobody{n}@" + DOMAIN),
    Kind("relaying", 20, "5", {}, recipient="user{n}@elsewhere.example"),
    Kind("banned client", 50, "5", {}, helo="[{ip}]"),
    Kind("own client", 20, "2", {}, helo="[{ip}]"),
    Kind("postmaster", 10, "2", {}, helo="[{ip}]", recipient="postmaster@" + DOMAIN),
    Kind("literal HELO, no PTR, once", 100, "4", {"PTR": 1}, helo="[{ip}]"),
    Kind("literal HELO, no PTR, comes back", 25, "45", {"PTR": 1}, helo="[{ip}]"),
    Kind("access line, once", 80, "4", NAME, helo=ACCESS_NAME, ptr=ACCESS_NAME),
    Kind("access line, comes back", 20, "45", NAME, helo=ACCESS_NAME, ptr=ACCESS_NAME),
    Kind("HELO without dot, comes back", 10, "42", CLEAN, helo="mail{n}", ptr=GOOD_NAME),
    Kind("clean", 50, "2", CLEAN, ptr=GOOD_NAME),
    Kind("clean, ten at once", 5, "2", CLEAN, ptr=GOOD_NAME, at_once=10),
    Kind("bounce", 10, "2", {**NAME, **LISTED}, ptr=GOOD_NAME, sender=None),
    Kind("sender domain unknown", 20, "5", {**NAME, "MX": 1}, ptr=GOOD_NAME, has_mx=False),
    Kind("listed twice", 30, "5", {**CLEAN, "TXT list": 2}, ptr=GOOD_NAME, listed=2),
    Kind("listed once, literal HELO, comes back", 10, "45", {**CLEAN, "TXT list": 1}, helo="[{ip}]", ptr=GOOD_NAME,
         listed=1),
]
for position, one in enumerate(KINDS):
    one.label, one.net = f"k{position}", FIRST_NET + position


def kind(title):
    return next(one for one in KINDS if one.title == title)


def reverse_of(address):
    return ".".join(reversed(address.split(".")))


class Servers:
    """NSD and rbldnsd with the names of the mix, and a tap before each."""

    def __init__(self, folder):
        self.nsd = nameserver.Nsd(os.path.join(folder, "nsd"), {
            "example": "mx A 192.0.2.9\n" + "".join(one.records() for one in KINDS),
            "127.in-addr.arpa": "".join(one.reverse() for one in KINDS)}, ttl=TTL_S)
        entries = [":127.0.0.2:Listed\n127.0.0.2\n" + "".join(
            f"{one.address(n)}\n" for one in KINDS if one.listed > position for n in range(one.clients))
            for position in range(len(LISTS))]
        self.rbldnsd = nameserver.Rbldnsd(os.path.join(folder, "rbldnsd"),
                                          {zone: ("ip4set", text) for zone, text in zip(LISTS, entries)}, ttl=TTL_S)
        self.taps = []

    def __enter__(self):
        self.nsd.start()
        self.rbldnsd.start()
        self.names, self.lists = nameserver.Tap(self.nsd), nameserver.Tap(self.rbldnsd)
        return self

    def __exit__(self, *_):
        for one in (self.names, self.lists, self.nsd, self.rbldnsd):
            one.stop()

    def count(self):
        """{(kind's title, type): n}; what is nobody's: that of a list ("probes"), or None."""
        counts = {}
        for tap, suffix in ((self.names, ""), (self.lists, " list")):
            for kind_of_question, name in tap.questions:
                whose = (owner(name) or ("probes" if suffix else None), kind_of_question + suffix)
                counts[whose] = counts.get(whose, 0) + 1
        return counts


def owner(name):
    """The kind that a name belongs to: by an address of 127.N/16 in its first four labels, or by its label."""
    labels = name.split(".")
    for one in KINDS:
        if labels[2:4] == [str(one.net), "127"] or labels[-2:] == [one.label, "example"]:
            return one.title
    return None


class PosternQuestions(Postern):
    """The shipped policy, its own table of well-known senders, two block lists, and a store with a short delay."""
    name = "postern"

    def __init__(self, folder, workers, recipients, sink_port, servers):
        super().__init__(folder, workers, recipients, sink_port)
        store = os.path.join(self.folder, "store")
        os.makedirs(store, exist_ok=True)
        chown_to_worker(store)
        tables = policy_tables({"banned": f"entries 127.{kind('banned client').net}.0.0/16",
                                "well_known_senders": f"file {ROOT}/etc/well-known-senders"})
        lists = "".join(f"block_list {zone} {{\n    group main\n}}\n" for zone in LISTS)
        stubs = "".join(f"    stub {zone} {servers.lists}\n" for zone in LISTS)
        with open(self.conf, "a", encoding="utf-8") as file:
            file.write(f"policy {ROOT}/etc/policy\n{tables}{lists}relay_clients 127.{kind('own client').net}.0.0/16\n"
                       f"dns {{\n    use forward\n    forward_to {servers.names}\n{stubs}"
                       f"    stub 127.in-addr.arpa {servers.names}\n}}\n"
                       f"store {{\n    path {store}/greylist.db\n}}\n"
                       f"greylist {{\n    delay 1s\n    new_per_network 0\n}}\n")

    def status(self):
        command = [self.program, "status", "-c", self.conf, "--json"]
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)

    def wait_for_lists(self):
        end = time.monotonic() + TRUST_LIMIT_S
        while not all(one["trusted"] for one in self.status()["block_lists"] if one["kind"] == "IPv4"):
            if time.monotonic() > end:
                raise RuntimeError("the block lists are not trusted")
            time.sleep(0.1)

    def probes_at_most(self):
        """Four names a round, each asked twice at most."""
        return 8 * sum(one["probes"] for one in self.status()["block_lists"])


def play(server, turn):
    """All sessions of a turn, the kinds mixed. Returns how many were served, and a complaint about the others."""
    lines = [line for one in KINDS for line in one.lines(turn)]
    step = 401  # has no divisor in common with a round's sessions, so this takes each once
    assert len(lines) % step
    mixed = [lines[position * step % len(lines)] for position in range(len(lines))]
    path = os.path.join(server.folder, f"sessions{turn}")
    with open(path, "w", encoding="ascii") as file:
        file.writelines(mixed)
    done = subprocess.run([LOAD, "-c", "64", "-f", path, "play", str(server.port)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    result = json.loads(done.stdout) if done.stdout else {"done": 0, "failed": len(mixed)}
    return result["done"], f"{result['failed']} failed: {done.stderr.strip()}" if result["failed"] else ""


def faults_of(one, counts):
    """What was asked about a kind and could not matter."""
    allowed = {of_type: n * one.clients for of_type, n in one.may_ask.items()}
    asked = {of_type: n for (title, of_type), n in counts.items() if title == one.title}
    return [f"{n} {of_type} asked, {allowed.get(of_type, 0)} could matter" for of_type, n in sorted(asked.items())
            if n > allowed.get(of_type, 0)]


def measure(table, server, servers):
    """Adds a row for each kind, and one for all. Returns what is wrong, a line each."""
    faults, sessions = [], 0
    server.wait_for_lists()
    for turn in range(2):
        done, complaint = play(server, turn)
        sessions += done
        if complaint:
            faults.append(f"questions: {complaint}")
        time.sleep(GREYLIST_WAIT_S)
    counts = servers.count()
    total = bound = 0
    for one in KINDS:
        asked = sum(n for (title, _), n in counts.items() if title == one.title)
        at_most = one.clients * sum(one.may_ask.values())
        wrong = faults_of(one, counts)
        faults += [f"questions: {one.title}: {fault}" for fault in wrong]
        table.add(f"  {one.title}", server.name, str(asked), aim=f"<= {at_most}",
                  note="; ".join([f"{one.sessions} sessions of {one.clients}", *wrong]))
        total, bound = total + asked, bound + at_most
    probes = sum(n for (title, _), n in counts.items() if title == "probes")
    others = {of_type: n for (title, of_type), n in counts.items() if title is None}
    if probes > server.probes_at_most():
        faults.append(f"questions: {probes} probes of lists, {server.probes_at_most()} at most")
    if others:
        faults.append(f"questions: nobody's: {others}")
    table.add(f"questions to DNS, {sessions} sessions", server.name, str(total), aim=f"<= {bound}",
              note=f"and {probes} probes of the lists")
    if total == 0:
        faults.append("questions: none came, so nothing was measured")
    return faults
