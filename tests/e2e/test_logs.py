"""The log and the journal as other tools read them: pflogsumm, fail2ban, whatever reads JSON."""
import json
import os
import re
import shutil
import subprocess

import pytest

from lib.client import Client, message
from lib.postern import PROGRAM, ROOT
from lib.wait import eventually

FILTER = os.path.join(ROOT, "etc", "fail2ban", "postern.conf")


@pytest.fixture
def after_some_traffic(make_postern, make_server, subject):
    """A gateway, stopped, that delivered 3 messages to 4 recipients, refused 2 unknown ones and 1 relaying, deferred 1,
    and passed on 1 refusal of the mailbox server."""
    server = make_server(behave={"RCPT": lambda moment: "550 5.2.1 Closed" if "carl" in moment.line else "OK"})
    gateway = make_postern([server], domain=["example.com", "example.net"])
    with Client(gateway.address, source="127.0.2.1") as client:
        client.ehlo()
        for recipients in (["anna@example.com"], ["bert@example.com"], ["anna@example.com", "bert@example.com"]):
            assert client.envelope(*recipients) == 250
            assert client.data(message(subject, b"x" * 70 + b"\r\n")) == 250
    with Client(gateway.address, source="127.0.2.2") as client:
        client.ehlo("bad guy[1]")
        client.ehlo("rejected.example.net")
        assert client.envelope("nobody@example.com") == "550 5.1.1"
        assert client.command("RCPT TO:<noone@example.com>") == "550 5.1.1"
        assert client.command("RCPT TO:<someone@elsewhere.example>") == "554 5.7.1"
        assert client.command("RCPT TO:<olga@example.net>") == "450 4.1.1"
        assert client.command("RCPT TO:<carl@example.com>") == "550 5.2.1"
    eventually(lambda: gateway.total("sessions_now") == 0, "sessions ended")
    gateway.stop()
    return gateway


def summed_up(text):
    """The numbers of pflogsumm's "Grand Totals"."""
    return {words: int(number) for number, words in re.findall(r"(?m)^ +(\d+) +([a-z][a-z ]+?)(?: \(\d+%\))?$", text)}


def test_pflogsumm_counts_what_was_delivered_and_refused(after_some_traffic):
    done = subprocess.run(["pflogsumm", "--syslog-name=postern", after_some_traffic.output], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    totals = summed_up(done.stdout)
    assert (totals["received"], totals["delivered"], totals["rejected"]) == (3, 4, 5), done.stdout
    kinds = dict(re.findall(r"(?m)^ {4}(\S.*?) \(total: (\d+)\)$", done.stdout))
    assert kinds["Relay access denied: not a domain of this host"] == "1"
    assert kinds["Recipient address rejected: No such recipient here"] == "2"
    assert kinds["Recipient address rejected: This recipient cannot be checked now"] == "1"
    assert kinds["Recipient address rejected: Closed"] == "1"
    assert "127.0.2.2" in done.stdout and "sender@client.example.net" in done.stdout


def refusals_for_good(log):
    return [line for line in log.splitlines() if re.search(r"reject: RCPT from \S+: 5\d\d ", line)]


def test_the_fail2ban_filter_matches_refusals_for_good_and_nothing_else(after_some_traffic):
    with open(FILTER, encoding="utf-8") as file:
        pattern = re.search(r"(?m)^failregex = (.*)$", file.read())[1]
    prefix = r"\w{3} +\d+ [\d:]{8} \S+ postern/smtpd\[\d+\]: "
    pattern = pattern.replace("%(__prefix_line)s", prefix).replace("<HOST>", r"(?P<host>[\d.]+)")
    found = [re.search(pattern, line) for line in after_some_traffic.log().splitlines()]
    hosts = [match["host"] for match in found if match]
    assert hosts == ["127.0.2.2"] * len(refusals_for_good(after_some_traffic.log())) and len(hosts) == 4


def test_fail2ban_itself_counts_the_same(after_some_traffic, folder):
    shutil.copy("/etc/fail2ban/filter.d/common.conf", folder)
    shutil.copy(FILTER, folder)
    done = subprocess.run(["fail2ban-regex", after_some_traffic.output, os.path.join(folder, "postern.conf")],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert re.search(r"lines, 0 ignored, 4 matched", done.stdout), done.stdout


REPEATED = re.compile(r" repeated=(\d+)$")


def hammer(gateway, n):
    """One client asks for that many unknown recipients, under as many senders and names. Returns the ids it heard."""
    ids = []
    with Client(gateway.address) as client:
        for i in range(n):
            client.ehlo(f"host{i}.example.net")
            ids.append(client.envelope(f"nobody{i}@example.com", sender=f"sender{i}@client.example.net").id)
    return ids


@pytest.fixture
def hammered(make_postern, make_server):
    """A gateway, stopped, that refused 60 unknown recipients of one client; and the ids of the refusals."""
    gateway = make_postern([make_server()], workers=1,
                           limits={"repeated_refusals": 10, "errors": 1000, "junk_commands": 1000})
    return gateway, hammer(gateway, 60)


def test_repeated_refusals_are_few_lines_and_no_count_is_lost(hammered):
    gateway, ids = hammered
    eventually(lambda: gateway.total("log_folded") == gateway.total("journal_folded") == 49, "they are counted")
    gateway.stop()
    lines = refusals_for_good(gateway.log())
    assert len(lines) == 11
    assert [int(match[1]) for line in lines if (match := REPEATED.search(line))] == [49]
    records = [record for record in gateway.journal() if record.get("rule") == "NO SUCH USER"]
    assert len(records) == 11 and sum(1 + record.get("repeated", 0) for record in records) == len(ids) == 60
    assert (records[-1]["id"], records[-1]["last_id"]) == (ids[10], ids[-1])


def test_explain_finds_the_record_that_a_refusal_was_counted_in(hammered):
    gateway, ids = hammered
    gateway.stop()
    done = gateway.command("explain", ids[30])
    assert done.returncode == 0, done.stdout
    assert f"{ids[30]} has no record of its own" in done.stdout and "nobody10@example.com" in done.stdout
    assert "no record of its own" not in gateway.command("explain", ids[5]).stdout


RECORDS = [
    {"rcpt": "a@example.com", "layer": "policy", "rule": "BAD HELO", "action": "reject", "shadow": ["S 1", "S 2"]},
    {"rcpt": "a@example.com", "layer": "policy", "rule": "SLOW", "action": "defer", "unrehearsed": True},
    {"rcpt": "a@example.com", "layer": "greylist", "rule": "NEW", "action": "defer", "greylist": "new"},
    {"rcpt": "a@example.com", "layer": "relay", "action": "pass", "greylist": "retry", "greylist_waited_s": 77},
    {"rcpt": "a@example.com", "layer": "policy", "rule": "LISTED", "action": "reject", "listed_by": ["bl.example"],
     "dnsbl": {"bl.example": ["127.0.0.2", "127.0.0.4"], "other.example": ["127.0.0.2"]}},
    {"rcpts": ["a@example.com"], "layer": "content", "rule": "VIRUS", "action": "reject", "kind": "infected",
     "virus": "Eicar"},
]


def write_journal(folder, name, records):
    path = os.path.join(folder, name)
    os.mkdir(path)
    with open(os.path.join(path, "postern-20261201-100000-000.jsonl"), "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"time": "2026-12-01T10:00:00.000Z", "id": f"d202qlns80{n:04}.1",
                                    "client": "192.0.2.7", **record}) + "\n" for n, record in enumerate(records))
    return path


@pytest.mark.parametrize("report", ["policy", "greylist", "lists", "content"])
def test_a_report_counts_what_was_folded_as_if_each_had_its_record(report, folder):
    whole = write_journal(folder, "whole", [record for record in RECORDS for _ in range(4)])
    folded = write_journal(folder, "folded", [{**record, "repeated": 3} for record in RECORDS])
    told = [subprocess.run([PROGRAM, "report", report, "--journal", path, "--json"], stdout=subprocess.PIPE, text=True,
                           check=True).stdout for path in (whole, folded)]
    assert told[0] == told[1] and "4" in told[0]


def test_connections_that_lead_to_nothing_are_few_lines(make_postern, make_server):
    gateway = make_postern([make_server()], workers=1, limits={"repeated_refusals": 5})
    for _ in range(40):
        Client(gateway.address).close()
    eventually(lambda: gateway.total("sessions") == 40 and gateway.total("sessions_now") == 0, "all have left")
    gateway.stop()
    lines = [line for line in gateway.log().splitlines() if "lost connection after CONNECT" in line]
    assert len(lines) == 6 and int(REPEATED.search(lines[-1])[1]) == 34


def test_a_client_cannot_write_lines_into_the_log(make_postern, make_server):
    gateway = make_postern([make_server()])
    with Client(gateway.address) as client:
        client.send(b"EHLO a\x1b[31m\x7fpostern/smtpd[1]: forged\r\n")
        client.reply()
        client.ehlo('x"> forged=1 sid=0')
        client.ehlo("client.example.net")
        client.envelope("nobody@example.com", sender='"a b> to=<forged"@client.example.net')
        client.command('RCPT TO:<"forged> sid=0 \x01"@example.com>')
    gateway.stop()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", gateway.log())
    for line in gateway.log().splitlines():
        assert re.match(r"\w{3} [ \d]\d [\d:]{8} \S+ postern/(master|smtpd|relay)\[\d+\]: ", line), line


def test_json_lines_carry_the_same_events(make_postern, make_server, subject):
    gateway = make_postern([make_server()], log={"format": "json"})
    with Client(gateway.address) as client:
        client.ehlo()
        client.envelope("anna@example.com")
        assert client.data(message(subject)) == 250
        refusal = client.envelope("nobody@example.com")
        client.quit()
    gateway.stop()
    lines = [json.loads(line) for line in gateway.log().splitlines()]
    assert len(lines) > 5 and all(isinstance(line, dict) for line in lines)
    refused = [line for line in lines if refusal.id in json.dumps(line)]
    assert len(refused) == 1 and "NO SUCH USER" in json.dumps(refused[0])
    assert any("status=sent" in json.dumps(line) for line in lines)
    times = [line["time"] for line in lines]
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z$", when) for when in times)


def test_each_decision_is_one_record_and_one_id(after_some_traffic):
    records = after_some_traffic.journal()
    rcpts = [record for record in records if "rcpt" in record]
    messages = [record for record in records if "rcpts" in record]
    assert len(rcpts) == 4 + 5 and len(messages) == 3
    assert len({record["id"] for record in records}) == len(records)
    assert [record["action"] for record in records].count("pass") == 4 + 3
    for record in records:
        assert re.fullmatch(r"[0-9a-v]{14}\.\d+", record["id"])
        assert {"time", "client", "helo", "sender", "early_talker", "layer", "action", "reply"} <= set(record)
    assert [record["id"] for record in records] == sorted((record["id"] for record in records),
                                                          key=lambda i: (i.split(".")[0], int(i.split(".")[1])))
    for record in records:
        if record["action"] != "pass":
            assert record["id"] in after_some_traffic.log()


def test_status_counts_what_happened(make_postern, make_server, subject):
    gateway = make_postern([make_server()])
    with Client(gateway.address) as client:
        client.ehlo()
        client.envelope("anna@example.com")
        client.data(message(subject))
        client.envelope("nobody@example.com")
        client.command("RCPT TO:<a@elsewhere.example>")
        totals = gateway.status()["totals"]
        assert {name: totals[name] for name in ("sessions_now", "sessions", "messages", "recipients_passed", "refused",
                                                "unknown", "relay_denied", "deferred")} == {
            "sessions_now": 1, "sessions": 1, "messages": 1, "recipients_passed": 1, "refused": 2, "unknown": 1,
            "relay_denied": 1, "deferred": 0}
    assert gateway.command("status", "--check").returncode == 0
    text = gateway.command("status").stdout
    assert "example.com" in text and str(gateway.worker_pids()[0]) in text
