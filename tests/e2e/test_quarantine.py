"""What nobody gets is kept, and gets where it should when somebody says so: through the real gateway, with the real
spamd, in front of a mailbox server that records. Promised is: never lost, never twice, never silently dropped."""
import email
import email.policy
import itertools
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from lib.client import Client, Closed, message
from lib.program import is_root, kill
from lib.server import DROP, HANG, Delay, Gate
from lib.spamd import GTUBE
from lib.wait import eventually

SEVEN = "postern-scores-this-with-seven"
RULES = f"body T_SEVEN /{SEVEN}/\nscore T_SEVEN 7\ndescribe T_SEVEN between the thresholds\n"
POLICY = """\
layer content {
    pass       "ABUSE DESK" when rcpt.postmaster
    reject     "SPAM"       when spam.score >= 100
    quarantine "SPAM"       when spam.score >= 5
}
"""


@pytest.fixture(scope="module")
def spamd(make_spamd):
    return make_spamd(rules=RULES)


@pytest.fixture
def server(make_server):
    return make_server()


@pytest.fixture
def make(make_postern, spamd, folder):
    def make(server, policy=POLICY, quarantine=None, **options):
        path = os.path.join(folder, "content-policy")
        with open(path, "w", encoding="utf-8") as file:
            file.write(policy)
        block = {"path": os.path.join(folder, "quarantine"), **(quarantine or {})}
        return make_postern([server], policy=path, dns={"use": "off"}, quarantine=block,
                            spamassassin={"server": spamd.unix}, **options)
    return make


@pytest.fixture
def gateway(make, server):
    return make(server)


def send(gateway, text, *recipients):
    with Client(gateway.address, timeout=60) as client:
        client.ehlo()
        reply = client.envelope(*(recipients or ["anna@example.com"]))
        return client.data(text) if reply.code == 250 else reply


def kept_files(folder):
    return os.listdir(os.path.join(folder, "quarantine"))


def kept(gateway):
    return gateway.json_lines("quarantine", "list", "--json")


def one_kept(gateway, state="kept"):
    eventually(lambda: [entry["state"] for entry in kept(gateway)] == [state], f"one message is {state}")
    return kept(gateway)[0]


def one_by_one(*behaviours):
    """Over all connections."""
    return lambda moment: behaviours[min(moment.nth, len(behaviours) - 1)]


def spam(subject):
    return message(subject, SEVEN.encode() + b"\r\n")


def action(gateway, *words, code=0):
    done = gateway.command("quarantine", *words)
    assert done.returncode == code, done.stdout
    return done.stdout


def test_a_message_is_kept_listed_shown_and_released_once(gateway, server, subject):
    reply = send(gateway, spam(subject))
    assert reply.code == 250
    entry = one_kept(gateway)
    assert entry["id"] == reply.id and entry["subject"] == subject
    assert entry["recipients"] == ["anna@example.com"] and entry["sender"] == "sender@client.example.net"
    assert (entry["kind"], entry["rule"]) == ("spam", "SPAM") and "T_SEVEN" in entry["details"]
    record = gateway.wait_journal(id=reply.id)
    assert (record["action"], record["rule"], record["kind"]) == ("quarantine", "SPAM", "spam")
    assert server.messages == []
    assert subject in action(gateway, "list") and subject in action(gateway, "show", reply.id)
    assert gateway.json_lines("quarantine", "show", reply.id, "--json") == [entry]
    raw = subprocess.run(gateway.command_line("quarantine", "show", reply.id, "--raw"), capture_output=True, check=True)
    assert raw.stdout == spam(subject)

    assert "released" in action(gateway, "release", reply.id)
    taken, = server.messages
    assert taken.recipients == ["anna@example.com"] and taken.sender == "sender@client.example.net"
    assert taken.content.endswith(spam(subject)) and taken.header("X-Postern-Released") == reply.id
    one_kept(gateway, "released")
    assert "released already" in action(gateway, "release", reply.id, code=1)
    assert len(server.messages) == 1
    action(gateway, "release", reply.id, "--again")
    assert len(server.messages) == 2
    assert "deleted" in action(gateway, "delete", reply.id)
    assert kept(gateway) == []
    assert "no such message" in action(gateway, "release", reply.id, code=1)
    assert "no such message" in action(gateway, "delete", reply.id, code=1)


FORGED = {
    "sender": ("sender: sender@client.example.net", "sender: a@b.example>%0D%0ARCPT TO:<victim@example.net"),
    "recipient": ("recipient: anna@example.com", "recipient: anna@example.com>%0D%0ADATA"),
    "client": ("client: 127.0.0.1", "client: 127.0.0.1]%0D%0AX-Forged: yes"),
    "kind": ("kind: spam", "kind: %1B[2Jspam"),
}


@pytest.mark.parametrize("field", FORGED)
def test_a_file_that_a_worker_forged_says_no_commands(field, gateway, server, subject, folder):
    reply = send(gateway, spam(subject))
    one_kept(gateway)
    path = os.path.join(folder, "quarantine", f"{reply.id}.mail")
    with open(path, "rb") as file:
        content = file.read()
    old, new = (text.encode() for text in FORGED[field])
    assert old in content
    with open(path, "wb") as file:
        file.write(content.replace(old, new, 1))
    for words in (("release", reply.id), ("show", reply.id), ("digest", "--send"), ("list",)):
        done = gateway.command("quarantine", *words)
        assert f"{reply.id}.mail: the field '{field}' is malformed" in done.stdout
        assert "\x1b" not in done.stdout
    assert server.messages == []
    assert kept_files(folder) == [f"{reply.id}.mail"]  # it is still there, for who looks at it


def test_status_shows_what_lies_there(make, server, subject):
    gateway = make(server, workers=1)
    for _ in range(2):
        assert send(gateway, spam(subject)).code == 250
    eventually(lambda: gateway.total("quarantined") == 2, "both are counted")
    shown = gateway.status()["quarantine"]
    assert (shown["state"], shown["messages"], shown["pending"]) == ("ok", 2, 0)
    path = gateway.options["quarantine"]["path"]
    assert shown["path"] == path and shown["size_max"] > 0
    assert shown["bytes"] == sum(os.path.getsize(os.path.join(path, name)) for name in os.listdir(path))
    assert gateway.total("quarantine_failed") == 0
    assert path in gateway.command("status").stdout


def test_status_warns_when_what_should_be_kept_cannot_be(make, server, subject):
    gateway = make(server, workers=1, quarantine={"size_max": "1M"})
    text = message(subject, SEVEN.encode() + b"\r\n" + b"y" * 320000 + b"\r\n")
    assert [send(gateway, text).code for _ in range(4)] == [250, 250, 250, 451]
    eventually(lambda: gateway.total("quarantine_failed") == 1, "it is counted")
    assert "the quarantine is nearly full" in gateway.command("status", "--check").stdout


def test_who_passes_gets_it_and_for_the_others_it_is_kept(gateway, server, subject):
    """One reply is true for all: 250, and nobody's mail is dropped."""
    reply = send(gateway, spam(subject), "anna@example.com", "postmaster@example.com", "bert@example.com")
    assert reply.code == 250
    assert [taken.recipients for taken in server.messages] == [["postmaster@example.com"]]
    assert one_kept(gateway)["recipients"] == ["anna@example.com", "bert@example.com"]
    record = gateway.wait_journal(id=reply.id)
    assert {verdict["rcpt"]: verdict["action"] for verdict in record["verdicts"]} == {
        "anna@example.com": "quarantine", "bert@example.com": "quarantine"}
    assert "relay=quarantine" in gateway.log()


def test_what_is_refused_for_some_is_kept_for_them(gateway, server, subject):
    reply = send(gateway, message(subject, GTUBE.encode() + b"\r\n"), "anna@example.com", "abuse@example.com")
    assert reply.code == 250
    assert [taken.recipients for taken in server.messages] == [["abuse@example.com"]]
    entry = one_kept(gateway)
    assert entry["recipients"] == ["anna@example.com"]
    assert (entry["rule"], entry["action"]) == ("SPAM", "reject")
    assert re.search("^action +reject$", action(gateway, "show", reply.id), re.M)


def test_a_sender_earns_nothing_by_what_was_kept(make, server, folder, subject):
    """The greylist counts the triplet for which a message was taken: not the one for which it was kept."""
    gateway = make(server, policy='layer greylist { greylist "GREY" when helo.unqualified }\n' + POLICY,
                   store={"path": os.path.join(folder, "store", "greylist.db")},
                   greylist={"delay": "1s", "whitelist_after": 2})

    def comes_again():
        with Client(gateway.address, timeout=60) as client:
            client.ehlo("client")
            codes = [client.command(line).code for line in ("MAIL FROM:<a@client.example.net>",
                     "RCPT TO:<anna@example.com>", "RCPT TO:<postmaster@example.com>")]
            return codes == [250, 250, 250] and client.data(spam(subject)).code
    assert eventually(comes_again, "it has waited") == 250
    one_kept(gateway)
    assert [taken.recipients for taken in server.messages] == [["postmaster@example.com"]]
    rows = lambda: {row.get("to"): row["passes"] for row in gateway.json_lines("greylist", "list", "--json")}
    eventually(lambda: None in rows(), "the client is counted")
    assert rows() == {"anna@example.com": 1, "postmaster@example.com": 2, None: 1}


BY_RECIPIENT = """\
layer content {
    reject     "NOT ANNA"  when rcpt.address == "anna@example.com"
    quarantine "KEEP BERT" when rcpt.address == "bert@example.com"
    defer      "LATER"     when rcpt.address == "carl@example.com"
    tag        "ABUSE"     when rcpt.address == "abuse@example.com"
    tag        "MASTER"    when rcpt.address == "postmaster@example.com"
}
"""
# recipients, the reply, who gets it with which tags, for whom it is kept: design.md, "One reply must be true for all"
ROWS = [
    ("anna", 554, "", "", ""),
    ("bert", 250, "", "", "bert"),
    ("carl", 450, "", "", ""),
    ("abuse", 250, "abuse", "ABUSE", ""),
    ("anna abuse", 250, "abuse", "ABUSE", "anna"),
    ("abuse anna", 250, "abuse", "ABUSE", "anna"),
    ("bert abuse", 250, "abuse", "ABUSE", "bert"),
    ("anna bert", 250, "", "", "anna bert"),
    ("anna bert abuse", 250, "abuse", "ABUSE", "anna bert"),
    ("abuse postmaster", 250, "abuse postmaster", "ABUSE MASTER", ""),
    ("postmaster anna abuse", 250, "postmaster abuse", "ABUSE MASTER", "anna"),
    ("carl abuse", 450, "", "", ""),
    ("abuse carl", 450, "", "", ""),
    ("anna carl", 450, "", "", ""),
    ("bert carl", 450, "", "", ""),
    ("anna bert abuse carl", 450, "", "", ""),
]


def test_one_reply_is_true_for_all_recipients(make, server, subject):
    gateway = make(server, policy=BY_RECIPIENT)
    addresses = lambda names: [f"{name}@example.com" for name in names.split()]
    for nth, (recipients, code, handed_on, tags, held) in enumerate(ROWS):
        one = f"{subject}-{nth}"
        assert send(gateway, message(one), *addresses(recipients)).code == code, recipients
        taken = [each for each in server.messages if each.header("Subject") == one]
        assert [each.recipients for each in taken] == [addresses(handed_on)][:bool(handed_on)], recipients
        assert [re.findall(rb"^X-Postern-Tag: (.*?)\r$", each.content, re.M) for each in taken] == \
            [[tag.encode() for tag in tags.split()]][:bool(handed_on)], recipients
        entries = lambda: [each["recipients"] for each in kept(gateway) if each["subject"] == one]
        eventually(lambda: entries() == [addresses(held)][:bool(held)], f"what is kept of {recipients}")
    assert len(os.listdir(gateway.options["quarantine"]["path"])) == sum(bool(row[4]) for row in ROWS)


def test_what_is_refused_for_all_is_refused_and_not_kept(gateway, server, subject):
    assert send(gateway, message(subject, GTUBE.encode() + b"\r\n"), "anna@example.com", "bert@example.com") == \
        "554 5.7.1"
    assert kept(gateway) == [] and server.messages == []


@pytest.mark.parametrize("behave", [{"END": "451 4.2.0 Later"}, {"END": "554 5.6.0 Never"}, {"END": DROP},
                                    {"MAIL": [DROP, DROP, DROP, DROP]}], ids=str)
def test_what_the_mailbox_server_does_not_take_is_not_kept_either(behave, make, make_server, subject):
    """Or the sender's retry would leave a second copy."""
    server = make_server(behave=behave)
    gateway = make(server)
    reply = send(gateway, spam(subject), "anna@example.com", "postmaster@example.com")
    assert reply.code // 100 != 2
    eventually(lambda: os.listdir(gateway.options["quarantine"]["path"]) == [], "nothing is left")


@pytest.mark.parametrize("answer, states", [("250 2.0.0 Ok", ["kept"]), ("451 4.2.0 Later", []), (DROP, [])], ids=str)
def test_a_client_that_leaves_at_the_end_changes_nothing(answer, states, make, make_server, subject):
    """Behind the final dot the delivery goes on without it, and what is kept is decided by the server's answer."""
    gate = Gate(answer)
    gateway = make(make_server(behave={"END": gate}))
    path = gateway.options["quarantine"]["path"]
    with Client(gateway.address, timeout=60) as client:
        client.ehlo()
        client.envelope("anna@example.com", "postmaster@example.com")
        client.command("DATA")
        client.send(spam(subject) + b".\r\n")
        assert gate.reached.wait(60)
        assert [name.rpartition(".")[2] for name in os.listdir(path)] == ["pending"]
    gateway.wait_log("lost connection after")
    assert [name.rpartition(".")[2] for name in os.listdir(path)] == ["pending"]
    gate.open()
    endings = lambda: [name.rpartition(".")[2] for name in os.listdir(path)]
    eventually(lambda: endings() == ["mail"] * len(states), "it is settled")
    assert [entry["state"] for entry in kept(gateway)] == states


def test_a_client_that_leaves_while_it_is_scanned_leaves_nothing(make_postern, make_spamd, server, folder, subject):
    """And comes again: it is kept once."""
    own = make_spamd(rules=RULES)
    path = os.path.join(folder, "content-policy")
    with open(path, "w", encoding="utf-8") as file:
        file.write(POLICY)
    kept_in = os.path.join(folder, "quarantine")
    gateway = make_postern([server], policy=path, dns={"use": "off"}, quarantine={"path": kept_in},
                           spamassassin={"server": own.unix, "timeout": "60s"})
    refused = send(gateway, message(subject, GTUBE.encode() + b"\r\n"), "anna@example.com")
    assert refused.code == 554  # and spamd is known to work
    own.freeze()
    with Client(gateway.address, timeout=60) as client:
        client.ehlo()
        client.envelope("anna@example.com", "postmaster@example.com")
        client.command("DATA")
        client.send(spam(subject) + b".\r\nQUIT\r\n")
        eventually(lambda: sum(one["connections"] for scanner in gateway.status()["scanners"]
                               for one in scanner["servers"]) == 1, "the scan has begun")
    gateway.wait_log("lost connection after")
    own.thaw()
    assert send(gateway, spam(subject), "anna@example.com", "postmaster@example.com").code == 250
    one_kept(gateway)
    assert len(os.listdir(kept_in)) == 1 and len(server.messages) == 1


EACH_KIND = """\
layer content {
    reject     "BANNED"     when attachment.banned
    pass       "ABUSE DESK" when rcpt.postmaster
    quarantine "SPAM"       when spam.score >= 5
    tag        "BAD HEADER" when header.bad
}
"""


def test_the_report_counts_what_was_kept_banned_and_not_scanned(make, server, subject):
    gateway = make(server, policy=EACH_KIND, attachments={"ban": "docm"}, quarantine={"size_max": "1M"})
    whole = {"Date": "Fri, 27 Nov 2026 12:00:00 +0000", "Message-ID": f"<{subject}@client.example.net>"}
    banned = {**whole, "MIME-Version": "1.0", "Content-Type": "application/x; name=a.docm"}
    large = b"y" * 700000 + b"\r\n"
    sent = [(spam(subject), ["anna@example.com"], 250), (spam(subject), ["anna@example.com", "bert@example.com"], 250),
            (spam(subject), ["anna@example.com", "postmaster@example.com"], 250),
            (message(subject, **banned), ["anna@example.com"], 554),
            (message(subject, large, **whole), ["anna@example.com"], 250),
            (message(subject), ["anna@example.com"], 250)]
    replies = [send(gateway, text, *recipients) for text, recipients, _ in sent]
    assert [reply.code for reply in replies] == [code for _, _, code in sent]
    gateway.wait_journal(id=replies[-1].id)
    assert gateway.command("report", "content").stdout.splitlines() == [
        "Postern content report", "", "0 Blocked Spam", "0 Blocked Infected", "1 Passed Clean", "1 Passed Unscanned",
        "1 Passed Bad-Header", "1 Blocked Banned", "2 Quarantined Spam", "",
        "Kept in quarantine for 1 recipient of mail that others got", "",
        "Blocked by content 50.0 % of the mail that came this far"]


def test_without_a_folder_for_it_mail_is_deferred(make, server, subject):
    gateway = make(server, quarantine={"path": "none"})
    assert send(gateway, spam(subject)) == "451 4.3.0"
    assert server.messages == []


def test_where_there_is_no_room_mail_is_deferred(make, server, subject):
    gateway = make(server, quarantine={"size_max": "1M"})
    text = message(subject, SEVEN.encode() + b"\r\n" + b"y" * 300000 + b"\r\n")
    replies = [send(gateway, text) for _ in range(5)]
    codes = [reply.code for reply in replies]
    assert codes.count(250) in (2, 3) and codes[-1] == 451
    assert "size_max is reached" in gateway.log()


def test_a_release_that_the_server_does_not_take_changes_nothing(make, make_server, subject):
    server = make_server(behave={"END": one_by_one("451 4.2.0 Later", "554 5.6.0 Never", "250 2.0.0 Ok")})
    gateway = make(server)
    reply = send(gateway, spam(subject))
    one_kept(gateway)
    assert "451" in action(gateway, "release", reply.id, code=1)
    one_kept(gateway)
    assert "554" in action(gateway, "release", reply.id, code=1)
    one_kept(gateway)
    action(gateway, "release", reply.id)
    one_kept(gateway, "released")


def test_a_release_while_the_server_is_away_says_so(make, make_server, subject):
    server = make_server()
    gateway = make(server)
    reply = send(gateway, spam(subject))
    one_kept(gateway)
    server.stop()
    assert "no server of the group answers" in action(gateway, "release", reply.id, code=1)
    one_kept(gateway)


def test_a_release_that_is_cut_off_is_known_to_be_uncertain(make, make_server, subject):
    """The command dies while the mailbox server thinks: whether it arrived nobody knows, and a second release asks."""
    server = make_server(behave={"END": one_by_one(HANG, "250 2.0.0 Ok")})
    gateway = make(server)
    reply = send(gateway, spam(subject))
    one_kept(gateway)
    process = subprocess.Popen(gateway.command_line("quarantine", "release", reply.id), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    eventually(lambda: len(server.messages) == 1, "the message is with the server")
    process.send_signal(signal.SIGKILL)
    process.wait()
    one_kept(gateway, "releasing")
    assert "--again" in action(gateway, "release", reply.id, code=1)
    action(gateway, "release", reply.id, "--again")
    one_kept(gateway, "released")
    os.rename(os.path.join(path := gateway.options["quarantine"]["path"], f"{reply.id}.released"),
              os.path.join(path, f"{reply.id}.releasing"))
    assert "--again" in action(gateway, "delete", reply.id, code=1)
    action(gateway, "delete", reply.id, "--again")
    assert os.listdir(path) == []


def test_what_others_claim_in_our_name_is_not_released(gateway, server, subject):
    claims = {"X-Spam-Flag": "NO", "x-virus-STATUS": "Clean\r\n\tfolded", "X-Postern-Released": "always",
              "Authentication-Results": "mx.example.com; spf=pass", "X-Mailer": "theirs"}
    reply = send(gateway, message(subject, f"{SEVEN}\r\nX-Spam-Flag: in the text\r\n".encode(), **claims))
    one_kept(gateway)
    action(gateway, "release", reply.id)
    taken, = server.messages
    head = taken.content.partition(b"\r\n\r\n")[0].decode()
    assert re.findall(r"(?im)^(?:x-spam|x-virus|x-postern|authentication)-[^\r]*", head) == \
        [f"X-Postern-Released: {reply.id}"]
    assert "folded" not in head and taken.header("X-Mailer") == "theirs" and taken.header("Subject") == subject
    assert taken.body == f"{SEVEN}\r\nX-Spam-Flag: in the text\r\n".encode()


def test_a_release_that_the_server_takes_for_some_names_the_others(make, make_server, subject):
    is_full = threading.Event()
    full = lambda moment: "452 4.2.2 Full" if is_full.is_set() and "bert@" in moment.line else "250 2.1.5 Ok"
    server = make_server(behave={"RCPT": full})
    gateway = make(server)
    reply = send(gateway, spam(subject), "anna@example.com", "bert@example.com")
    one_kept(gateway)
    is_full.set()
    said = action(gateway, "release", reply.id, code=1)
    assert "not for all recipients" in said and "bert@example.com: 452 Full" in said and "anna@" not in said
    assert [taken.recipients for taken in server.messages] == [["anna@example.com"]]
    one_kept(gateway, "released")
    assert "released already" in action(gateway, "release", reply.id, code=1)
    is_full.clear()
    action(gateway, "release", reply.id, "--again", "--to", "bert@example.com")
    assert [taken.recipients for taken in server.messages] == [["anna@example.com"], ["bert@example.com"]]


def test_a_release_asks_for_what_the_message_needs(make, make_server, subject):
    """And a server that has lost it since says no, or gets eight bits all the same, as on the way of any mail."""
    server = make_server()
    gateway = make(server)
    address = "s\u00e9nder@client.example.net"
    eight = message(subject, SEVEN.encode() + b"\r\n\xe9\r\n")
    with Client(gateway.address, timeout=60) as client:
        client.ehlo()
        assert client.command(f"MAIL FROM:<{address}> SMTPUTF8 BODY=8BITMIME").code == 250
        assert client.command("RCPT TO:<anna@example.com>").code == 250
        utf8 = client.data(eight)
        client.envelope("anna@example.com", sender="sender@client.example.net")
        plain = client.data(eight)
    eventually(lambda: [entry["state"] for entry in kept(gateway)] == ["kept"] * 2, "both are kept")
    extensions, server.extensions = server.extensions, ["PIPELINING"]
    assert "the server takes ASCII addresses only" in action(gateway, "release", utf8.id, code=1)
    assert {entry["state"] for entry in kept(gateway)} == {"kept"} and server.messages == []
    action(gateway, "release", plain.id)
    server.extensions = extensions
    action(gateway, "release", utf8.id)
    action(gateway, "release", plain.id, "--again")
    assert ["SMTPUTF8" in taken.mail for taken in server.messages] == [False, True, False]
    assert ["BODY=8BITMIME" in taken.mail for taken in server.messages] == [False, True, True]
    assert all(taken.content.endswith(eight) for taken in server.messages) and server.messages[1].sender == address


def test_two_releases_at_once_are_one(make, make_server, subject):
    server = make_server(behave={"END": Delay(1)})
    gateway = make(server)
    reply = send(gateway, spam(subject))
    one_kept(gateway)
    both = [subprocess.Popen(gateway.command_line("quarantine", "release", reply.id), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL) for _ in range(2)]
    assert sorted(process.wait() for process in both) == [0, 1]
    assert len(server.messages) == 1


def test_a_worker_that_dies_leaves_what_it_kept_and_a_retry_leaves_one(make, make_server, subject):
    """Killed between the quarantine's sync and the mailbox server's answer: the sender comes again."""
    server = make_server(behave={"END": one_by_one(HANG, "250 2.0.0 Ok")})
    gateway = make(server, workers=1)
    path = gateway.options["quarantine"]["path"]
    with Client(gateway.address, timeout=30) as client:
        client.ehlo()
        client.envelope("anna@example.com", "postmaster@example.com")
        client.command("DATA")
        client.send(spam(subject) + b".\r\n")
        eventually(lambda: len(server.messages) == 1, "the message is with the server")
        assert [name.rpartition(".")[2] for name in os.listdir(path)] == ["pending"]
        assert kept(gateway) == []
        gateway.expected_deaths += 1
        kill(gateway.worker_pids()[0])
    eventually(lambda: len(gateway.worker_pids()) == 1, "another worker serves")
    assert [name.rpartition(".")[2] for name in os.listdir(path)] == ["pending"]
    assert send(gateway, spam(subject), "anna@example.com", "postmaster@example.com").code == 250
    one_kept(gateway)
    assert len(os.listdir(path)) == 1


def test_workers_are_killed_and_nothing_is_missing_or_there_twice(make, server, capsys):
    """Senders try again until they hear 250, while workers are killed at any moment."""
    gateway = make(server, workers=2)
    acknowledged, is_over = set(), threading.Event()

    def deliver(number):
        """As a sender's queue does."""
        for nth in itertools.count():
            name = f"{number}-{nth}"
            while name not in acknowledged and not is_over.is_set():
                try:
                    with Client(gateway.address, source=f"127.4.0.{number}", timeout=30) as client:
                        client.ehlo()
                        client.envelope("anna@example.com", "postmaster@example.com")
                        if client.data(spam(name)).code == 250:
                            acknowledged.add(name)
                except (OSError, AssertionError, Closed):
                    is_over.wait(0.05)
            if is_over.is_set():
                return
    senders = [threading.Thread(target=deliver, args=(number,)) for number in range(1, 7)]
    for sender in senders:
        sender.start()
    n_kills = 20
    gateway.kill_workers(n_kills, random.Random(3))
    eventually(lambda: len(gateway.worker_pids()) == 2, "both workers serve")
    eventually(lambda: len(acknowledged) > 30, "most were cut off and sent again", 120)
    is_over.set()
    for sender in senders:
        sender.join()
    eventually(lambda: acknowledged <= {entry["subject"] for entry in kept(gateway)}, "what was acknowledged is there")
    names = [entry["subject"] for entry in kept(gateway) if entry["state"] == "kept"]
    path = gateway.options["quarantine"]["path"]
    left = [name for name in os.listdir(path) if name.endswith(".pending")]
    with capsys.disabled():
        print(f"\nworkers killed {n_kills} times: {len(acknowledged)} acknowledged, {len(names)} kept, "
              f"{len(names) - len(set(names))} twice, {len(left)} pending")
    assert len(names) == len(set(names))
    assert len(left) <= len(senders)  # those whose senders were stopped before they came again


def test_what_nobody_ended_is_shown_after_a_while(gateway, subject):
    send(gateway, spam(subject))
    entry = one_kept(gateway)
    path = gateway.options["quarantine"]["path"]
    name = os.path.join(path, f"{entry['id']}.0123456789abcdef.pending")
    os.rename(os.path.join(path, f"{entry['id']}.mail"), name)
    assert kept(gateway) == []
    old = time.time() - 700
    os.utime(name, (old, old))
    assert [entry["state"] for entry in kept(gateway)] == ["uncertain"]
    action(gateway, "release", entry["id"])


def test_old_messages_expire(make, server, subject):
    gateway = make(server, quarantine={"keep": "1d"})
    reply = send(gateway, spam(subject))
    one_kept(gateway)
    assert action(gateway, "expire") == "0 removed\n"
    path = os.path.join(gateway.options["quarantine"]["path"], f"{reply.id}.mail")
    old = time.time() - 90000
    os.utime(path, (old, old))
    assert action(gateway, "expire") == "1 removed\n"
    assert kept(gateway) == []


def test_the_list_can_be_narrowed(gateway, subject):
    send(gateway, spam(subject))
    send(gateway, spam(subject), "bert@example.com")
    eventually(lambda: len(kept(gateway)) == 2, "both are kept")
    count = lambda *words: len(gateway.json_lines("quarantine", "list", "--json", *words))
    assert count("--recipient", "bert@example.com") == 1 and count("--recipient", "carl@example.com") == 0
    assert count("--sender", "sender@client.example.net") == 2 and count("--kind", "infected") == 0
    assert count("--kind", "spam", "--since", "1h") == 2


def test_the_digest_is_mail_with_the_commands_to_release(gateway, server, subject):
    reply = send(gateway, spam(subject))
    one_kept(gateway)
    printed = action(gateway, "digest", "--domain", "example.com")
    assert f"postern quarantine release {reply.id}" in printed and subject in printed
    assert server.messages == []
    action(gateway, "digest", "--recipient", "anna@example.com", "--send")
    taken, = server.messages
    assert taken.recipients == ["anna@example.com"] and taken.sender == "postmaster@example.com"
    assert reply.id.encode() in taken.content and taken.header("Auto-Submitted") == "auto-generated"
    assert action(gateway, "digest", "--recipient", "carl@example.com", "--send") == ""
    assert action(gateway, "digest", "--domain", "example.org") == ""


def test_each_recipient_of_ours_gets_one_digest(make, server, subject):
    """Not those elsewhere, to whom a client of ours sent spam, and nobody learns who else was meant."""
    utf8 = "h\u00e9l\u00e8ne@example.com"
    gateway = make(server, relay_clients="127.0.0.9", smart_host="mailbox",
                   recipients={"example.com": ["anna@example.com", "bert@example.com", utf8]})
    with Client(gateway.address, source="127.0.0.9", timeout=60) as client:
        client.ehlo()
        client.envelope("someone@elsewhere.example", "anna@example.com")
        first = client.data(spam(subject))
        client.envelope("BERT@EXAMPLE.com", "bert@example.com", "anna@example.com")
        second = client.data(spam(subject))
        client.envelope("Anna@Example.com", utf8, parameters="SMTPUTF8")
        third = client.data(spam(subject))
    eventually(lambda: len(kept(gateway)) == 3, "all are kept")
    assert [entry["id"] for entry in kept(gateway)] == [first.id, second.id, third.id]
    sent = action(gateway, "digest", "--send", "--since", "1d")
    assert sent.count("digest sent") == 3
    digests = {taken.recipients[0].lower(): taken for taken in server.messages}
    assert len(server.messages) == 3 and set(digests) == {"anna@example.com", "bert@example.com", utf8}
    for address, ids in ("anna@example.com", [first, second, third]), ("bert@example.com", [second]), (utf8, [third]):
        text = digests[address].content.decode()
        assert re.findall("quarantine release ([^\r]*)", text) == [reply.id for reply in ids]
        assert f"Subject: {len(ids)} message" in text and "for: " not in text
        assert not [other for other in digests if other != address and other in text.lower()]
    assert [" SMTPUTF8" in digests[address].mail for address in ("anna@example.com", utf8)] == [False, True]
    assert len({taken.header("Message-ID") for taken in server.messages}) == 3
    action(gateway, "release", first.id, second.id, third.id)
    assert action(gateway, "digest", "--send") == ""


def test_a_digest_that_is_not_taken_is_told_and_the_others_go_out(make, make_server, subject):
    is_gone = threading.Event()
    gone = lambda moment: "550 5.1.1 Gone" if is_gone.is_set() and "bert@" in moment.line else "250 2.1.5 Ok"
    server = make_server(behave={"RCPT": gone})
    gateway = make(server)
    send(gateway, spam(subject), "anna@example.com", "bert@example.com", "carl@example.com")
    one_kept(gateway)
    is_gone.set()
    said = action(gateway, "digest", "--send", code=1)
    assert "the digest for bert@example.com was not taken: bert@example.com: 550 Gone" in said
    assert sorted(taken.recipients for taken in server.messages) == [["anna@example.com"], ["carl@example.com"]]
    server.stop()
    said = action(gateway, "digest", "--send", code=1)
    assert said.count("was not taken: ") == 3 and said.count("no server of the group answers") == 3
    one_kept(gateway)


def test_who_is_rewritten_gets_it_released_under_the_name_that_the_server_knows(make, server, subject):
    domain = ("example.com", {"catch_all": "bert@example.com", "postmaster": "anna@example.com"})
    gateway = make(server, domain=domain, policy='layer content { quarantine "ALL" when size > 0 }')
    reply = send(gateway, message(subject), "stranger@example.com", "carl@example.com", "postmaster")
    assert reply.code == 250
    entry = one_kept(gateway)
    assert entry["recipients"] == ["stranger@example.com", "carl@example.com", "postmaster"]
    assert "recipient   stranger@example.com as bert@example.com\n" in action(gateway, "show", reply.id)
    assert len(gateway.json_lines("quarantine", "list", "--json", "--recipient", "bert@example.com")) == 1
    known = ["bert@example.com", "carl@example.com", "anna@example.com"]
    assert action(gateway, "digest", "--send").count("digest sent") == 3
    assert sorted(taken.recipients[0] for taken in server.messages) == sorted(known)
    action(gateway, "digest", "--send", "--domain", "example.com")
    assert server.messages[3].recipients == ["anna@example.com"]
    action(gateway, "release", reply.id)
    assert server.messages[4].recipients == known


def test_the_digest_of_a_domain_says_for_whom(make, server, subject):
    names = [f"user{nth}@example.com" for nth in range(7)]
    gateway = make(server, recipients={"example.com": names})
    send(gateway, spam(subject), *names)
    one_kept(gateway)
    printed = action(gateway, "digest", "--domain", "EXAMPLE.com")
    assert re.findall("for:      ([^\n]*)", printed) == [*names[:5], "2 more"]


def test_the_digest_is_a_mail_whatever_senders_wrote(gateway, server, subject):
    hostile = f"{subject} \x1b[31m\u202e<b>\x00\x85" + "x" * 900
    with Client(gateway.address, timeout=60) as client:
        client.ehlo()
        client.envelope("anna@example.com", sender='"release\\" <x> \\\\ me"@client.example.net')
        assert client.data(message(hostile, SEVEN.encode() + b"\r\n")).code == 250
    one_kept(gateway)
    action(gateway, "digest", "--recipient", "anna@example.com", "--send")
    taken, = server.messages
    assert all(32 <= byte < 127 for byte in taken.content.replace(b"\r\n", b""))
    assert max(map(len, taken.content.split(b"\r\n"))) < 100 and taken.content.endswith(b"\r\n")
    read = email.message_from_bytes(taken.content, policy=email.policy.default)
    assert read.defects == [] and read["From"].addresses[0].addr_spec == "postmaster@example.com"
    assert read["Date"].datetime and read["Message-ID"].endswith("@mx.example.com>")
    assert read["To"].addresses[0].addr_spec == "anna@example.com" and read["Auto-Submitted"] == "auto-generated"
    assert subject in read.get_content() and len(kept(gateway)) == 1  # it was not kept itself, though it quotes


@pytest.mark.parametrize("written, shown", [
    ("=?utf-8?Q?Your_invoice?=", "Your invoice"), ("=?UTF-8?B?WW91ciBpbnZvaWNl?=", "Your invoice"),
    ("\r\n =?utf-8?q?Your?=\r\n\t=?utf-8?q?_invoice?=", "Your invoice"),
    ("folded\r\n  and on\r\nX-Other: x", "folded and on"),
    ("=?utf-8?B?xI1hcyBuYSDEjWFq?= =?iso-8859-2?q?=e8?=", "?as na ?aj?"), ("=?utf-8?Q?a=1b[31m?=", "a?[31m"),
    ("=?utf-8?Q?no end", "=?utf-8?Q?no end"), ("", ""),
], ids=str)
def test_subjects_are_shown_as_people_read_them(written, shown, make, server):
    gateway = make(server, policy='layer content { quarantine "ALL" when size > 0 }')
    assert send(gateway, message(written)).code == 250
    assert one_kept(gateway)["subject"] == shown
    assert f"\nsubject:  {shown}\n" in action(gateway, "digest", "--recipient", "anna@example.com")


def test_terminals_are_safe_from_what_senders_write(gateway):
    send(gateway, message("a\x1b[31mred", SEVEN.encode() + b"\r\n"))
    one_kept(gateway)
    assert "\x1b" not in action(gateway, "list")


def test_spamd_learns_what_was_kept_wrongly(make, server, make_spamd, subject):
    teaches = make_spamd(rules="use_bayes 1\nbayes_auto_learn 0\nbayes_path @HOME@/bayes\n", tell=True)
    gateway = make(server)
    reply = send(gateway, spam(subject))
    one_kept(gateway)
    assert "learnt as ham" in action(gateway, "learn", reply.id, "--ham", "--spamd", teaches.tcp)
    assert "known already as ham" in action(gateway, "learn", reply.id, "--ham", "--spamd", teaches.tcp)
    assert "--ham or --spam" in action(gateway, "learn", reply.id, code=1)
    assert "does it run with --allow-tell" in action(gateway, "learn", reply.id, "--spam", code=1)


def tell(listener, answer, heard):
    """One conversation as spamd has it: reads `heard` bytes at most, answers, closes."""
    peer, _ = listener.accept()
    with peer:
        said = b""
        while len(said) < heard:
            piece = peer.recv(heard - len(said))
            if not piece:
                break
            said += piece
        peer.sendall(answer)
    return said


def test_the_database_of_the_recipients_domain_learns(make, server, subject):
    gateway = make(server)
    gateway.configure(spamassassin={**gateway.options["spamassassin"], "user_by_domain": "yes"})
    reply = send(gateway, spam(subject), "anna@EXAMPLE.com", "bert@example.com", "carl@example.com")
    one_kept(gateway)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as pool:
        said = pool.submit(tell, listener, b"SPAMD/1.1 0 EX_OK\r\nDidSet: local\r\nContent-length: 0\r\n\r\n", 1 << 20)
        where = "127.0.0.1:%d" % listener.getsockname()[1]
        assert "learnt as spam" in action(gateway, "learn", reply.id, "--spam", "--spamd", where)
        head, _, text = said.result().partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [b"TELL SPAMC/1.5", b"User: example.com", b"Content-length: %d" % len(text),
                                  b"Message-class: spam", b"Set: local"]
    assert text == spam(subject)


@pytest.mark.parametrize("answer, expected", [
    (b"SPAMD/1.0 69 Service Unavailable: TELL commands are not enabled\r\n", "69 Service Unavailable"),
    (b"SPAMD/1.1 0 EX_OK\r\nDidSet: local\r\n\r\n", "spamd says: SPAMD/1.1 0 EX_OK"),
    (b"SPAMD/1.1 75 EX_TEMPFAIL\r\nX: 0 EX_OK\r\n", "75 EX_TEMPFAIL"), (b"", "spamd unix:"),
], ids=str)
def test_a_spamd_that_does_not_want_to_learn_is_heard(answer, expected, make, server, folder, subject):
    """It answers and closes before it has the message, which is larger than what a socket holds: what it said counts,
    not that writing to it failed."""
    gateway = make(server, policy='layer content { quarantine "ALL" when size > 0 }')
    reply = send(gateway, message(subject, (b"y" * 70 + b"\r\n") * 30000))
    one_kept(gateway)
    path = os.path.join(folder, "spamd")
    with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor() as pool:
        listener.bind(path)
        listener.listen()
        said = pool.submit(tell, listener, answer, 20)
        assert expected in action(gateway, "learn", reply.id, "--spam", "--spamd", f"unix:{path}", code=1)
        assert said.result() == b"TELL SPAMC/1.5\r\nCont"
    assert f"{reply.id}: spamd unix:{path}: Connection refused" in \
        action(gateway, "learn", reply.id, "--spam", "--spamd", f"unix:{path}", code=1)


@pytest.mark.skipif(not is_root(), reason="mounts a file system")
def test_a_folder_that_is_read_only_or_goes_away_defers_and_loses_nothing(make, server, folder, subject):
    """While it lasts nothing of a message goes out, whoever else would get it; afterwards all is as before."""
    path = os.path.join(folder, "small")
    os.mkdir(path)
    mount = lambda *words: subprocess.run(["mount", *words, path], check=True)
    mount("-t", "tmpfs", "-o", "size=1m,mode=0777", "tmpfs")
    try:
        gateway = make(server, quarantine={"path": os.path.join(path, "kept")})
        both = ["anna@example.com", "postmaster@example.com"]
        assert send(gateway, spam(subject), *both).code == 250
        one_kept(gateway)
        mount("-o", "remount,ro")
        assert [send(gateway, spam(f"{subject}-2"), *names) for names in (both, both[:1])] == ["451 4.3.0"] * 2
        assert "Read-only file system" in gateway.log() and len(server.messages) == 1
        assert len(kept(gateway)) == 1
        said = action(gateway, "release", kept(gateway)[0]["id"], code=1)
        assert "Read-only file system" in said and len(server.messages) == 1
        mount("-o", "remount,rw")
        assert send(gateway, spam(f"{subject}-2"), *both).code == 250
        eventually(lambda: len(kept(gateway)) == 2, "both are kept")
        shutil.rmtree(os.path.join(path, "kept"))
        assert send(gateway, spam(f"{subject}-3"), *both) == "451 4.3.0"
        assert len(server.messages) == 2
        gateway.stop()
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.mark.skipif(not is_root(), reason="mounts a file system")
def test_a_full_disk_defers_and_loses_nothing(make, server, folder, subject):
    path = os.path.join(folder, "small")
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k,mode=0777", "tmpfs", path], check=True)
    try:
        gateway = make(server, quarantine={"path": path})
        text = message(subject, SEVEN.encode() + b"\r\n" + b"y" * 60000 + b"\r\n")
        codes = [send(gateway, text).code for _ in range(8)]
        assert codes[0] == 250 and codes[-1] == 451
        eventually(lambda: len(kept(gateway)) == codes.count(250), "what was acknowledged is there")
        assert "No space left on device" in gateway.log()
        assert not [name for name in os.listdir(path) if name.startswith(".")]
        gateway.stop()
    finally:
        subprocess.run(["umount", path], check=True)
