"""`postern explain` and `postern report policy`: from the id in a refusal to the rule and the facts behind it."""
import json
import os
import re
import smtplib

import pytest

from lib.wait import eventually

POLICY = """\
layer connection {
    reject "BANNED IP"          when client in banned
}
layer policy {
    reject "BANNED SENDER"      when sender.address in banned_senders
    reject "HELO_IP"            when helo.address with 550 5.7.1 "Your HELO is an address"
    shadow reject "HELO_NOTFQDN" when helo.unqualified
}
"""


@pytest.fixture
def gateway(make_postern, make_server, folder):
    path = os.path.join(folder, "policy")
    with open(path, "w", encoding="utf-8") as file:
        file.write(POLICY)
    tables = [("banned cidr", {"entries": "192.0.2.0/24"}), ("banned_senders addresses", {"entries": "bad.example"})]
    return make_postern([make_server()], policy=path, table=tables)


def ask_rcpt(gateway, helo, sender="a@client.example", recipient="anna@example.com"):
    with smtplib.SMTP(*gateway.address, local_hostname=helo, timeout=20) as client:
        client.ehlo()
        client.mail(sender)
        code, text = client.rcpt(recipient)
    return code, text.decode()


def id_of(reply):
    return re.search(r"\[([0-9a-v]{14}\.\d+)\]", reply)[1]


def test_the_id_of_a_refusal_leads_to_its_rule_and_facts(gateway):
    code, reply = ask_rcpt(gateway, "[127.0.0.1]")
    assert code == 550 and "Your HELO is an address" in reply
    number = id_of(reply)
    gateway.wait_journal(id=number)
    done = gateway.command("explain", number)
    assert done.returncode == 0, done.stdout
    assert re.search(rf"^decision +{number} at 20", done.stdout, re.M)
    assert re.search(r'^verdict +reject "HELO_IP" \(layer policy\), 550 5.7.1$', done.stdout, re.M)
    assert re.search(r"^ +connection +reject +BANNED IP +false +client in banned$", done.stdout, re.M)
    assert re.search(r"^ +policy +reject +HELO_IP +true +helo.address$", done.stdout, re.M)
    assert re.search(r"^ +policy +shadow reject +HELO_NOTFQDN +-$", done.stdout, re.M)
    assert re.search(r"^ +helo.address +true +session$", done.stdout, re.M)
    assert re.search(r"^ +helo.address = false +pass$", done.stdout, re.M)
    assert "changed since" not in done.stdout


def test_a_policy_that_has_changed_is_told_from_the_one_that_decided(gateway):
    number = id_of(ask_rcpt(gateway, "[127.0.0.1]")[1])
    gateway.wait_journal(id=number)
    with open(gateway.options["policy"], "w", encoding="utf-8") as file:
        file.write(POLICY.replace("reject \"HELO_IP\"", "shadow reject \"HELO_IP\""))
    done = gateway.command("explain", number, "--json")
    assert done.returncode == 0, done.stdout
    told = json.loads(done.stdout)
    assert told["recorded"]["rule"] == "HELO_IP" and told["recorded"]["policy_changed"] is True
    assert told["verdict"]["action"] == "pass"


def test_rules_are_counted_from_the_journal_in_ascending_order(gateway):
    for sender in ["x@bad.example"] + 10 * ["a@client.example"]:
        last = id_of(ask_rcpt(gateway, "[127.0.0.1]", sender)[1])
        gateway.wait_journal(id=last)
    ask_rcpt(gateway, "laptop")
    ask_rcpt(gateway, "mail.client.example", recipient="nobody@example.com")
    eventually(lambda: any(record.get("shadow") for record in gateway.journal()), "shadow hit in the journal")
    eventually(lambda: any(record.get("rule") == "NO SUCH USER" for record in gateway.journal()), "unknown recipient")
    done = gateway.command("report", "policy", "--since", "1h")
    assert done.returncode == 0
    assert done.stdout == " 1 BANNED SENDER\n10 HELO_IP\n 1 HELO_NOTFQDN (shadow)\n"
    assert json.loads(gateway.command("report", "policy", "--json").stdout)["policy"][1] == {
        "count": 10, "rule": "HELO_IP", "shadow": False, "effect": "refused"}
    assert gateway.command("report", "policy", "--since", "2100-01-01").stdout == ""


def test_an_imagined_delivery_is_explained_without_a_session(gateway):
    done = gateway.command("explain", "--client", "192.0.2.7", "--helo", "mail.client.example")
    assert done.returncode == 0 and 'verdict    reject "BANNED IP" (layer connection)' in done.stdout
    done = gateway.command("explain", "--client", "203.0.113.7", "--set", "helo.address=true")
    assert re.search(r"BANNED SENDER +unknown  sender.address in banned_senders", done.stdout), done.stdout
    assert "depends on sender.address in banned_senders" in done.stdout
    done = gateway.command("explain", "--client", "203.0.113.7", "--helo", "[203.0.113.7]", "--from", "x@bad.example",
                           "--to", "anna@example.com")
    assert 'verdict    reject "BANNED SENDER"' in done.stdout
    done = gateway.command("explain", "--client", "203.0.113.7", "--helo", "mail.client.example", "--from", "<>",
                           "--to", "nobody@example.com")
    assert 'verdict    reject "NO SUCH USER"' in done.stdout


def test_what_cannot_be_explained_is_said(gateway):
    done = gateway.command("explain", "0000000000000v.1")
    assert done.returncode == 1 and "no decision" in done.stdout
    done = gateway.command("explain", "no-id")
    assert done.returncode == 64
    done = gateway.command("explain", "--client", "203.0.113.7", "--set", "helo.adress=true")
    assert done.returncode == 64 and "did you mean 'helo.address'?" in done.stdout
