"""What survives the envelope is read and scanned, with the real clamd (which knows EICAR) and the real spamd (with the
rules of its package), offline: a test for every way in which something could slip through."""
import base64
import email.message
import email.policy
import io
import os
import re
import socketserver
import threading
import zipfile

import pytest
from lib.clamd import EICAR, NAME
from lib.client import Client, message
from lib.spamd import GTUBE
from lib.wait import eventually

EXAMPLES = "/usr/share/doc/spamassassin/examples"
SEVEN = "postern-scores-this-with-seven"
HOP = r"/^\[ ip=203\.0\.113\.7 rdns=out\.example\.net helo=client\.example\.net by=mx\.example\.com/"
RULES = f"""\
body T_SEVEN /{SEVEN}/
score T_SEVEN 7
describe T_SEVEN between the thresholds
header T_HOP X-Spam-Relays-Untrusted =~ {HOP}
score T_HOP 0.001
describe T_HOP the hop from the client to us is read as we have written it
"""
POLICY = """\
layer content {
    reject "INFECTED"  when virus  with 554 5.7.1 "Infected with {virus}"
    pass   "ABUSE DESK" when rcpt.postmaster
    reject "SPAM"      when spam.score >= 12
    tag    "SPAM"      when spam.score >= 5
}
"""
SMALL = "1M"


@pytest.fixture(scope="module")
def clamd(make_clamd):
    return make_clamd()


@pytest.fixture(scope="module")
def spamd(make_spamd):
    return make_spamd(rules=RULES)


def write_policy(folder, text=POLICY):
    path = os.path.join(folder, "content-policy")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


@pytest.fixture(scope="module")
def server(make_shared_server):
    return make_shared_server()


@pytest.fixture(scope="module")
def gateway(make_shared_postern, server, clamd, spamd):
    folder = os.path.dirname(clamd.folder)
    return make_shared_postern([server], policy=write_policy(folder), dns={"use": "off"},
                               clamav={"server": clamd.unix, "size_max": SMALL, "timeout": "20s"},
                               spamassassin={"server": spamd.tcp, "timeout": "60s"},
                               limits={"message_size": "60M"})


@pytest.fixture
def client(gateway):
    with Client(gateway.address, timeout=90) as client:
        client.ehlo()
        yield client


def count(server):
    return len(server.messages)


def taken_with(server, subject):
    """The one message of that subject."""
    found = [message for message in server.messages if message.header("Subject") == subject]
    assert len(found) == 1
    return found[0]


def send(client, data, recipient="anna@example.com"):
    client.envelope(recipient)
    return client.data(data)


def mail(subject, text="Hello.\r\n", **attachments):
    """As mail clients write it; attachments are bytes by file name."""
    made = email.message.EmailMessage(policy=email.policy.SMTP)
    made["From"], made["To"], made["Subject"] = "sender@client.example.net", "anna@example.com", subject
    made["Date"], made["Message-ID"] = "Fri, 27 Nov 2026 12:00:00 +0000", f"<{subject}@client.example.net>"
    made.set_content(text)
    for name, content in attachments.items():
        made.add_attachment(content, maintype="application", subtype="octet-stream", filename=name.replace("_", "."))
    return made


def seven(subject, **headers):
    """Between the thresholds, whatever rules think of a subject that is made of random digits."""
    whole = {"To": "anna@example.com", "Date": "Fri, 27 Nov 2026 12:00:00 +0000",
             "Message-ID": f"<{subject}@client.example.net>"}
    return message(subject, SEVEN.encode() + b"\r\n", **whole, **headers)


def zipped(name, content):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def nested(subject):
    outer = mail(subject)
    outer.add_attachment(mail(subject + "-inner", eicar_com=EICAR.encode()))
    return outer


def infected(subject):
    """EICAR in every dress that mail gives it."""
    plain = message(subject, EICAR.encode() + b"\r\n")
    return {
        "plain": plain,
        "base64": mail(subject, eicar_com=EICAR.encode()).as_bytes(),
        "zip": mail(subject, eicar_zip=zipped("eicar.com", EICAR)).as_bytes(),
        "nested message": nested(subject).as_bytes(),
        "base64 without MIME headers around": message(subject, base64.encodebytes(EICAR.encode()),
                                                      **{"Content-Transfer-Encoding": "base64"}),
    }


def records(gateway, reply):
    return gateway.wait_journal(id=reply.id)


# ---- viruses

@pytest.mark.parametrize("dress", list(infected("x")))
def test_a_virus_is_refused(dress, client, gateway, server, subject):
    before = count(server)
    reply = send(client, infected(subject)[dress])
    assert reply == "554 5.7.1" and NAME in str(reply)
    record = records(gateway, reply)
    assert (record["layer"], record["rule"], record["kind"], record["virus"]) == ("content", "INFECTED", "infected",
                                                                                 NAME)
    assert count(server) == before
    assert f'layer=content rule="INFECTED" content=infected virus={NAME}' in gateway.log()


def test_a_virus_is_refused_whoever_it_is_for(client, subject):
    assert send(client, infected(subject)["base64"], "postmaster@example.com") == "554 5.7.1"


def test_a_virus_in_pipelined_commands_is_refused(gateway, server, subject):
    before = count(server)
    with Client(gateway.address) as client:
        client.ehlo()
        client.send(b"MAIL FROM:<a@client.example.net>\r\nRCPT TO:<anna@example.com>\r\nDATA\r\n")
        assert [client.reply().code for _ in range(3)] == [250, 250, 354]
        client.send(infected(subject)["plain"] + b".\r\nMAIL FROM:<b@client.example.net>\r\n")
        assert client.reply() == "554 5.7.1"
        assert client.reply().code == 250
    assert count(server) == before


def test_a_virus_in_chunks_is_refused(client, server, subject):
    before = count(server)
    whole = infected(subject)["base64"]
    client.envelope("anna@example.com")
    reply = client.bdat(*[whole[at:at + 37] for at in range(0, len(whole), 37)])
    assert reply == "554 5.7.1" and count(server) == before


# ---- spam

def test_much_spam_is_refused(client, gateway, server, subject):
    before = count(server)
    reply = send(client, message(subject, GTUBE.encode() + b"\r\n"))
    assert reply == "554 5.7.1"
    record = records(gateway, reply)
    assert (record["rule"], record["kind"]) == ("SPAM", "spam")
    assert record["spam"]["score"] > 900 and "GTUBE" in record["spam"]["tests"]
    assert count(server) == before


def test_the_example_of_spam_is_refused(client):
    with open(os.path.join(EXAMPLES, "sample-spam.txt"), "rb") as file:
        text = file.read().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert send(client, text) == "554 5.7.1"


def test_the_example_of_ham_passes_unmarked(client, server):
    with open(os.path.join(EXAMPLES, "sample-nonspam.txt"), "rb") as file:
        text = file.read().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    before = count(server)
    assert send(client, text).code == 250
    taken = server.messages[before]
    assert taken.header("X-Spam-Flag") == "NO" and taken.header("X-Virus-Status") == "Clean"
    assert taken.header("X-Postern-Tag") is None
    assert text.partition(b"\r\n\r\n")[2] == taken.body


def test_between_the_thresholds_it_is_tagged(client, server, gateway, subject):
    reply = send(client, seven(subject))
    assert reply.code == 250
    taken = taken_with(server, subject)
    assert taken.header("X-Spam-Flag") == "YES" and taken.header("X-Postern-Tag") == "SPAM"
    assert "T_SEVEN" in taken.header("X-Spam-Status")
    assert records(gateway, reply)["tags"] == ["SPAM"]


def test_the_abuse_desk_gets_spam_unmarked(client, server, subject):
    assert send(client, seven(subject), "abuse@example.com").code == 250
    assert taken_with(server, subject).header("X-Postern-Tag") is None


def test_what_others_claim_in_our_name_is_dropped(client, server, subject):
    claims = {"X-Spam-Flag": "NO", "X-Virus-Status": "Clean", "X-Postern-Tag": "GOOD",
              "Authentication-Results": "mx.example.com; spf=pass"}
    assert send(client, seven(subject, **claims)).code == 250
    taken = taken_with(server, subject)
    assert taken.header("X-Spam-Flag") == "YES" and taken.header("Authentication-Results") is None
    assert taken.content.count(b"X-Postern-Tag:") == 1 and taken.content.count(b"X-Virus-Status:") == 1


def test_spamassassin_reads_our_received(make_postern, make_server, spamd, folder, subject):
    """It takes the hop from the client to us from the field that we write, and judges that one."""
    server = make_server()
    gateway = make_postern([server], policy=write_policy(folder), dns={"use": "off"},
                           spamassassin={"server": spamd.unix}, listener={"xclient_from": "127.0.0.1"})
    with Client(gateway.address, timeout=90) as client:
        client.ehlo("balancer.example.com")
        assert client.command("XCLIENT ADDR=203.0.113.7 NAME=out.example.net").code == 220
        client.ehlo("client.example.net")
        assert send(client, message(subject)).code == 250
    assert "T_HOP" in taken_with(server, subject).header("X-Spam-Status")


# ---- size, and ends that come early

class Hearing(socketserver.StreamRequestHandler):
    """Of spamd as much as notes whose message it is."""
    def handle(self):
        words = self.rfile.readline().split(b" ")
        fields = dict(line.strip().split(b": ", 1) for line in iter(self.rfile.readline, b"\r\n"))
        if words[0] == b"PING":
            self.wfile.write(b"SPAMD/1.5 0 PONG\r\n")
            return
        self.rfile.read(int(fields[b"Content-length"]))
        self.server.users.append(fields.get(b"User"))
        self.wfile.write(b"SPAMD/1.1 0 EX_OK\r\nContent-length: 1\r\nSpam: False ; 1 / 5\r\n\r\nA")


def test_spamd_is_told_the_domain_that_all_recipients_share(make_postern, make_server, folder, subject):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Hearing) as spamd:
        spamd.users = []
        threading.Thread(target=spamd.serve_forever).start()
        try:
            gateway = make_postern([make_server()], policy=write_policy(folder), dns={"use": "off"},
                                   domain=["example.com", "example.org"],
                                   recipients={name: ["anna@" + name, "bert@" + name]
                                               for name in ("example.com", "example.org")},
                                   spamassassin={"server": "127.0.0.1:%d" % spamd.server_address[1],
                                                 "user_by_domain": "yes"})
            with Client(gateway.address) as client:
                client.ehlo()
                for names in (["anna@example.com"], ["anna@EXAMPLE.Org", "bert@example.org"],
                              ["anna@example.com", "anna@example.org"], ["postmaster", "anna@example.org"],
                              ["postmaster", "anna@example.com"]):
                    assert client.envelope(*names).code == 250, names
                    assert client.data(message(subject)).code == 250
            assert spamd.users == [b"example.com", b"example.org", None, None, b"example.com"]
        finally:
            spamd.shutdown()


def test_a_message_of_50_mb_passes_and_says_that_it_was_not_scanned(client, gateway, server, subject):
    line = b"0123456789abcdef" * 4 + b"\r\n"
    reply = send(client, message(subject, line * (50 * 1024 * 1024 // len(line))))
    assert reply.code == 250
    taken = taken_with(server, subject)
    assert taken.header("X-Virus-Status").startswith("Not scanned (")
    assert taken.header("X-Spam-Status").startswith("Not scanned (")
    assert set(records(gateway, reply)["unscanned"]) == {"virus", "spam"}


def test_a_message_that_is_cut_off_is_nobodys(gateway, server, subject):
    before, scanned = count(server), gateway.status()["scanners"][0]["scanned"]
    with Client(gateway.address) as client:
        client.ehlo()
        client.envelope("anna@example.com")
        client.command("DATA")
        client.send(infected(subject)["plain"])
    eventually(lambda: "DATA content" in gateway.log(), "the end is logged")
    assert count(server) == before
    assert gateway.status()["scanners"][0]["scanned"] == scanned


# ---- trouble with scanners

@pytest.fixture
def own(make_postern, make_server, make_clamd, spamd, folder):
    """A gateway with a clamd of its own, which may be ill-treated."""
    server, clamd = make_server(), make_clamd()
    gateway = make_postern([server], policy=write_policy(folder), dns={"use": "off"},
                           clamav={"server": clamd.unix, "timeout": "3s"}, spamassassin={"server": spamd.unix})
    return gateway, server, clamd


def test_a_client_that_leaves_during_the_scan_is_not_delivered_for(own, subject):
    gateway, server, clamd = own
    clamd.freeze()
    with Client(gateway.address) as client:
        client.ehlo()
        client.envelope("anna@example.com")
        client.command("DATA")
        client.send(message(subject) + b".\r\n")
        eventually(lambda: gateway.status()["totals"]["sessions_now"] == 1, "the message is with the scanner")
    eventually(lambda: gateway.status()["totals"]["sessions_now"] == 0, "the session has ended")
    clamd.thaw()
    assert server.messages == []


def test_while_clamd_hangs_mail_is_deferred_and_envelopes_are_refused_at_once(own, subject):
    gateway, server, clamd = own
    clamd.freeze()
    with Client(gateway.address, timeout=30) as waiting, Client(gateway.address) as other:
        for client in (waiting, other):
            client.ehlo()
        waiting.envelope("anna@example.com")
        waiting.command("DATA")
        waiting.send(message(subject) + b".\r\n")
        assert other.envelope("nobody@example.com") == "550 5.1.1"
        assert waiting.reply() == "451 4.7.1"
    clamd.thaw()
    with Client(gateway.address, timeout=30) as client:
        client.ehlo()
        eventually(lambda: send(client, message(subject)).code == 250, "clamd is found to work again", 40)
    eventually(lambda: not gateway.status()["scanners"][0]["servers"][0]["down"], "status says so")
    assert [taken.header("X-Virus-Status") for taken in server.messages] == ["Clean"]


def test_without_clamd_mail_may_pass_if_so_configured(make_postern, make_server, spamd, folder, subject):
    server = make_server()
    gateway = make_postern([server], policy=write_policy(folder), dns={"use": "off"}, on_failure={"virus": "pass"},
                           clamav={"server": "unix:/nonexistent/socket"}, spamassassin={"server": spamd.unix})
    with Client(gateway.address, timeout=30) as client:
        client.ehlo()
        assert send(client, message(subject)).code == 250
    assert taken_with(server, subject).header("X-Virus-Status").startswith("Not scanned (")


# ---- why, and how often

def test_explain_tells_why_a_message_was_refused(client, gateway, subject):
    reply = send(client, message(subject, GTUBE.encode() + b"\r\n"))
    records(gateway, reply)
    text = gateway.command("explain", reply.id).stdout
    assert re.search(r"^  content +reject +SPAM +true", text, re.M), text
    assert re.search(r"^  content +reject +INFECTED +false", text, re.M)
    assert "spam.score" in text
    assert re.search(r"^  kind +spam$", text, re.M) and re.search(r"^  spam +1\d\d\d.* of 5: .*GTUBE", text, re.M)
    told, = gateway.json_lines("explain", reply.id, "--json")
    assert told["content"]["kind"] == "spam" and "GTUBE" in told["content"]["spam"]["tests"]


def test_explain_names_the_virus(client, gateway, subject):
    reply = send(client, infected(subject)["zip"])
    records(gateway, reply)
    assert re.search(rf"^  virus +{re.escape(NAME)}$", gateway.command("explain", reply.id).stdout, re.M)


def test_the_report_counts_what_content_was(make_postern, make_server, clamd, spamd, folder, subject):
    gateway = make_postern([make_server()], policy=write_policy(folder), dns={"use": "off"},
                           clamav={"server": clamd.unix}, spamassassin={"server": spamd.unix})
    texts = [infected(subject)["plain"], infected(subject)["zip"], message(subject, GTUBE.encode() + b"\r\n"),
             message(subject), message(subject), seven(subject)]
    with Client(gateway.address, timeout=90) as client:
        client.ehlo()
        last = [send(client, text) for text in texts][-1]
    records(gateway, last)
    lines = gateway.command("report", "content").stdout.splitlines()
    assert lines == ["Postern content report", "", "0 Passed Bad-Header", "1 Passed Spam", "1 Blocked Spam",
                     "2 Passed Clean", "2 Blocked Infected", "",
                     "Blocked by content 50.0 % of the mail that came this far", "", "Viruses", "", f"2 {NAME}"]
    assert gateway.command("report", "policy").stdout == "1 SPAM\n1 SPAM (tag)\n2 INFECTED\n"


def test_rules_are_counted_once_a_message_whatever_they_did(make_postern, make_server, spamd, folder, subject):
    policy = 'layer content {\n reject "SPAM" when spam.score >= 12 and not rcpt.postmaster\n' \
             ' quarantine "SPAM" when spam.score >= 5 and not rcpt.postmaster\n tag "SPAM" when spam.score >= 5\n}\n'
    gateway = make_postern([make_server()], policy=write_policy(folder, policy), dns={"use": "off"},
                           quarantine={"path": os.path.join(folder, "quarantine")}, spamassassin={"server": spamd.unix})
    everybody = ["anna@example.com", "postmaster@example.com", "bert@example.com"]
    with Client(gateway.address, timeout=90) as client:
        client.ehlo()
        for text in (message(subject, GTUBE.encode() + b"\r\n"), seven(subject)):
            client.envelope(*everybody)
            last = client.data(text)
            assert last.code == 250
    records(gateway, last)
    counted, = gateway.json_lines("report", "policy", "--json")
    counts = {(entry["rule"], entry["effect"]): entry["count"] for entry in counted["policy"]}
    assert counts == {("SPAM", "refused"): 1, ("SPAM", "quarantined"): 1, ("SPAM", "tagged"): 2}
    text = gateway.command("explain", last.id).stdout
    assert re.search(r"^for others\n  quarantine  SPAM  spam  anna@example.com\n"
                     r"  quarantine  SPAM  spam  bert@example.com$", text, re.M), text
    assert re.search(r"^  tag +SPAM$", text, re.M)


def test_rehearsals_past_their_bound_are_seen(make_postern, make_server, make_spamd, folder, subject):
    """Rules that change nothing ask after the reply: not of more messages than may wait, and that does not hide."""
    spamd, server = make_spamd(), make_server()
    gateway = make_postern([server], policy=write_policy(folder, 'layer content { shadow reject "SPAM" when '
                           'spam.score >= 12 }'), dns={"use": "off"}, workers=1,
                           spamassassin={"server": spamd.unix, "timeout": "4s"})
    spamd.freeze()
    with Client(gateway.address) as client:
        client.ehlo()
        replies = [send(client, message(subject, GTUBE.encode() + b"\r\n")) for _ in range(34)]
    assert {reply.code for reply in replies} == {250}
    assert [records(gateway, reply).get("unrehearsed") for reply in replies[32:]] == [True, True]
    eventually(lambda: gateway.total("unrehearsed") == 2, "they are counted")
    assert "32 of them on messages, wait for facts of shadow rules" in gateway.log()
    assert "of 2 decisions it is not known" in gateway.command("report", "policy").stdout
    spamd.thaw()
