"""`postern greylist` beside the running daemon: what it lists, what allow and forget do to the next mail, and greylists
that move here from another Postern, from a real postgrey and from a database of sqlgrey."""
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

from lib.client import Client
from lib.ports import LOOPBACK, free_port
from lib.program import Program
from lib.wait import eventually

GREYLISTED, TAKEN = "451 4.7.1", 250
RULES = 'layer greylist {\n    greylist "ALL" when not rcpt.postmaster\n}\n'
CLIENT = "127.0.0.1"


@pytest.fixture
def make_gateway(folder, make_server, make_postern):
    def make(name="store", delay="1s", **options):
        rules = os.path.join(folder, "policy")
        with open(rules, "w", encoding="utf-8") as file:
            file.write(RULES)
        return make_postern([make_server()], policy=rules, dns={"use": "off"},
                            store={"path": os.path.join(folder, name, "greylist.db")}, greylist={"delay": delay},
                            **options)
    return make


def rcpt(gateway, sender="anna@example.net", to="bert@example.com"):
    with Client(gateway.address) as client:
        client.ehlo()
        client.command(f"MAIL FROM:<{sender}>")
        return client.command(f"RCPT TO:<{to}>")


def listed(gateway, *filters):
    """Rows as `list --json` tells them."""
    done = gateway.command("greylist", "list", "--json", *filters)
    assert done.returncode == 0, done.stdout
    return [json.loads(line) for line in done.stdout.splitlines()]


def passes(gateway, **envelope):
    assert rcpt(gateway, **envelope) == GREYLISTED
    eventually(lambda: rcpt(gateway, **envelope) == TAKEN, "the delay is over")


def greylist(gateway, *arguments, code=0):
    done = gateway.command("greylist", *arguments)
    assert done.returncode == code, done.stdout
    return done.stdout


# ---- looking

def test_list_shows_who_waits_and_who_has_passed(make_gateway):
    gateway = make_gateway()
    passes(gateway, sender="anna@example.net")
    assert rcpt(gateway, sender="carl@example.org") == GREYLISTED
    rows = eventually(lambda: (rows := listed(gateway)) and len(rows) == 2 and rows, "names are written behind")
    states = {(row["client"], row["sender"]): row["state"] for row in rows if "sender" in row}
    assert states[f"ip:{CLIENT}", "anna@example.net"] == "passed"
    assert "waiting" in states.values()
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["last"]) for row in rows)
    told = greylist(gateway, "list", "--sender", "example.org")
    assert re.fullmatch(r"(\S+Z  waiting      \S+ +carl@example\.org > bert@example\.com\n)+", told)
    assert listed(gateway, "--sender", "nobody@example.org") == []
    assert {row["sender"] for row in listed(gateway, "--client", CLIENT, "--to", "bert@example.com")} == {
        "anna@example.net", "carl@example.org"}
    assert listed(gateway, "--client", "198.51.100.1") == []
    assert len(listed(gateway, "--limit", "1")) == 1


def test_stats_count_the_same(make_gateway):
    gateway = make_gateway()
    passes(gateway)
    stats = eventually(lambda: (s := json.loads(greylist(gateway, "stats", "--json")))["passed"] >= 1 and s, "named")
    assert stats["hash_key"] == "own" and stats["bytes"] > 0 and stats["pending"] == 0
    assert "triplets passed" in greylist(gateway, "stats")


# ---- changing

def test_allow_counts_from_the_next_mail_on_and_forget_takes_it_back(make_gateway):
    gateway = make_gateway(delay="1h")
    assert rcpt(gateway) == GREYLISTED
    greylist(gateway, "allow", CLIENT)
    assert rcpt(gateway) == TAKEN
    assert rcpt(gateway, sender="new@example.org") == TAKEN
    clients = [row["state"] for row in listed(gateway, "--client", f"ip:{CLIENT}") if "sender" not in row]
    assert clients == ["whitelisted"]
    assert greylist(gateway, "forget", "--client", CLIENT) != "0 forgotten\n"
    assert rcpt(gateway) == GREYLISTED
    assert greylist(gateway, "forget", "--client", "198.51.100.1") == "0 forgotten\n"


def test_explain_tells_what_the_greylist_would_say_now(make_gateway):
    gateway = make_gateway()
    envelope = ["--client", CLIENT, "--helo", "client.example.net", "--from", "anna@example.net", "--to",
                "bert@example.com"]

    def today():
        done = gateway.command("explain", *envelope)
        assert done.returncode == 0, done.stdout
        return re.search(r"^  today {6}(\S.*)$", done.stdout, re.MULTILINE)[1]

    assert today() == "new, 1 s to wait (this host's file)"
    assert today() == "new, 1 s to wait (this host's file)"
    passes(gateway)
    assert today() == "cached (this host's file)"
    greylist(gateway, "allow", CLIENT)
    assert today() == "whitelisted (this host's file)"


def test_a_forgotten_triplet_waits_again(make_gateway):
    gateway = make_gateway()
    passes(gateway)
    eventually(lambda: listed(gateway), "names are written behind")
    greylist(gateway, "forget", "--sender", "anna@example.net")
    assert listed(gateway, "--sender", "anna@example.net") == []
    passes(gateway)


@pytest.mark.parametrize("client, word", [
    ("192.0.2.0/25", "networks of /24"), ("com", "somebody can register"), ("mx.example.com", "example.com"),
    ("not a name", "neither"), pytest.param("x" * 400, "too long", id="long")])
def test_allow_says_what_is_no_client(make_gateway, client, word):
    gateway = make_gateway()
    assert word in greylist(gateway, "allow", client, code=1)


@pytest.mark.parametrize("arguments, code", [
    ([], 64), (["nonsense"], 64), (["forget"], 64), (["allow"], 64), (["import"], 64), (["list", "--limit", "x"], 64),
    (["allow", "192.0.2.1", "--for", "soon"], 64), (["import", "x", "--format", "exim"], 64),
    (["forget", "--all", "--to", "a@b"], 64)])
def test_wrong_use_is_told(make_gateway, arguments, code):
    done = make_gateway().command("greylist", *arguments)
    assert done.returncode == code and "usage:" in done.stdout or "forget what?" in done.stdout


def test_without_a_store_there_is_nothing_to_look_at(make_server, make_postern, folder):
    gateway = make_postern([make_server()])
    done = gateway.command("greylist", "list")
    assert done.returncode == 78 and "no store is configured" in done.stdout
    gateway.configure(store={"path": os.path.join(folder, "missing", "greylist.db")})
    done = gateway.command("greylist", "list")
    assert done.returncode == 1 and "missing/greylist.db" in done.stdout


# ---- moving

def test_an_export_moves_to_another_host(make_gateway, folder):
    old, new = make_gateway("old"), make_gateway("new", delay="1h")
    passes(old)
    path = os.path.join(folder, "export")
    eventually(lambda: listed(old, "--client", f"ip:{CLIENT}"), "names are written behind")
    greylist(old, "export", path)
    assert re.search(r"^[1-9]\d* imported, 0 left out", greylist(new, "import", path))
    assert rcpt(new) == TAKEN
    assert rcpt(new, sender="new@example.org") == GREYLISTED
    greylist(new, "import", path)  # once more does no harm
    assert rcpt(new) == TAKEN


def test_a_list_that_breaks_off_is_named_with_its_line(make_gateway, folder):
    gateway = make_gateway()
    path = os.path.join(folder, "broken")
    with open(path, "w", encoding="utf-8") as file:
        file.write("# postern greylist 1\ntriplet\tip:192.0.2.1\ta@b\n")
    assert f"{path}:2: expected 8 fields" in greylist(gateway, "import", path, code=1)
    assert "No such file" in greylist(gateway, "import", path + ".not", code=1)


class Postgrey(Program):
    """A real one, whose database is dumped."""
    name = "postgrey"

    def __init__(self, folder):
        os.makedirs(folder)
        super().__init__(folder)
        self.port = free_port()

    def start(self):
        data = os.path.join(self.folder, "data")
        os.makedirs(data)
        shutil.chown(data, "postgrey")
        self.launch(["/usr/sbin/postgrey", f"--inet={LOOPBACK}:{self.port}", f"--dbdir={data}", "--delay=1",
                     "--user=postgrey", "--group=nogroup", "--auto-whitelist-clients=0"])
        eventually(self.ask, "postgrey answers")
        return self

    def ask(self, sender="anna@example.net"):
        """The answer about a triplet of ours; None while it does not listen."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=5) as asks:
                asks.sendall(f"request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address={CLIENT}\n"
                             f"client_name=unknown\nsender={sender}\nrecipient=bert@example.com\n"
                             f"instance={time.monotonic()}\n\n".encode())
                return asks.makefile("rb").readline().decode()
        except OSError:
            return None

    def dump(self):
        self.send_signal(signal.SIGTERM)
        self.wait()
        path = os.path.join(self.folder, "dump")
        with open(path, "wb") as file:
            subprocess.run(["db_dump", "-p", os.path.join(self.folder, "data", "postgrey.db")], stdout=file, check=True)
        return path


@pytest.mark.skipif(os.geteuid() != 0, reason="postgrey changes its user")
def test_a_real_postgrey_moves_here(make_gateway, folder):
    postgrey = Postgrey(os.path.join(folder, "postgrey")).start()
    try:
        eventually(lambda: "PREPEND" in (postgrey.ask() or ""), "postgrey lets it pass")
        dump = postgrey.dump()
    finally:
        postgrey.stop()
    gateway = make_gateway(delay="1s")
    assert re.search(r"^1 imported, 0 left out", greylist(gateway, "import", dump, "--format", "postgrey"))
    gateway.configure(greylist={"delay": "1h"})
    gateway.reload()
    assert rcpt(gateway) == TAKEN
    assert rcpt(gateway, sender="new@example.org") == GREYLISTED
    assert "postern greylist export" in greylist(gateway, "import", dump, code=1)


def test_what_sqlgrey_trusts_is_trusted_here(make_gateway, folder):
    path = os.path.join(folder, "sqlgrey.db")
    now = int(time.time())
    with sqlite3.connect(path) as db:
        db.executescript("CREATE TABLE connect(sender_name, sender_domain, src, rcpt, first_seen);"
                         "CREATE TABLE from_awl(sender_name, sender_domain, src, first_seen, last_seen);"
                         "CREATE TABLE domain_awl(sender_domain, src, first_seen, last_seen);")
        db.execute("INSERT INTO domain_awl VALUES('example.net', ?, ?, ?)", (CLIENT, now - 9000, now - 100))
    gateway = make_gateway(delay="1h")
    assert rcpt(gateway) == GREYLISTED
    assert greylist(gateway, "import", path, "--format", "sqlgrey").startswith("1 imported")
    assert rcpt(gateway) == TAKEN
    assert "connect" in greylist(gateway, "import", gateway.options["store"]["path"], "--format", "sqlgrey", code=1)
