"""Which recipients exist: the directory, imported while the gateway serves, and what stands around it."""
import os

import pytest

from lib.client import Client, message
from lib.wait import eventually


def rcpt(gateway, recipient, sender="sender@client.example.net", source=None):
    with Client(gateway.address, source=source) as client:
        client.ehlo()
        return client.envelope(recipient, sender=sender)


@pytest.fixture
def server(make_server):
    return make_server()


def test_a_directory_imported_while_running_is_taken_without_dropping_a_session(make_postern, server, subject):
    gateway = make_postern([server], recipients={"example.com": ["anna"]})
    with Client(gateway.address) as waiting, Client(gateway.address, source="127.0.0.2") as in_data:
        waiting.ehlo()
        assert waiting.envelope("zoe@example.com") == "550 5.1.1"
        in_data.ehlo()
        in_data.envelope("anna@example.com")
        in_data.command("DATA")
        workers = gateway.worker_pids()
        gateway.import_recipients("example.com", ["anna", "zoe"])
        gateway.wait_log("directory of example.com taken: 2 addresses")
        eventually(lambda: waiting.command("RCPT TO:<zoe@example.com>") == "250 2.1.5", "the new recipient is known")
        in_data.send(message(subject) + b".\r\n")
        assert in_data.reply() == 250
        assert gateway.worker_pids() == workers


def test_a_recipient_taken_out_of_the_directory_is_refused_from_then_on(make_postern, server):
    gateway = make_postern([server], recipients={"example.com": ["anna", "zoe"]})
    assert rcpt(gateway, "zoe@example.com") == "250 2.1.5"
    gateway.import_recipients("example.com", ["anna"], "--force")
    eventually(lambda: rcpt(gateway, "zoe@example.com") == "550 5.1.1", "refused")
    assert gateway.status()["directories"][0]["addresses"] == 1


def test_an_import_that_shrinks_too_much_or_is_empty_changes_nothing(make_postern, server):
    gateway = make_postern([server], recipients={"example.com": [f"user{i}" for i in range(200)]})
    path = os.path.join(gateway.folder, "short")
    for lines in ("user1\n", ""):
        with open(path, "w", encoding="utf-8") as file:
            file.write(lines)
        assert gateway.command("recipients", "import", "example.com", path).returncode == 1
    assert rcpt(gateway, "user199@example.com") == "250 2.1.5"
    assert gateway.status()["directories"][0]["addresses"] == 200


def test_a_directory_that_was_never_imported_defers_unknown_recipients(make_postern, server):
    gateway = make_postern([server], recipients={})
    reply = rcpt(gateway, "anna@example.com")
    assert reply == "450 4.1.1" and reply.id
    gateway.wait_journal(id=reply.id, rcpt_known="unavailable", action="defer")
    assert gateway.status()["directories"][0]["state"] == "missing"
    assert gateway.command("status", "--check").returncode == 1
    gateway.import_recipients("example.com", ["anna"])
    eventually(lambda: rcpt(gateway, "anna@example.com") == "250 2.1.5", "known")
    assert rcpt(gateway, "zoe@example.com") == "550 5.1.1"


def test_a_directory_older_than_directory_age_defers_unknown_recipients_and_knows_its_own(make_postern, server):
    gateway = make_postern([server], recipients={"example.com": ["anna"]}, timeouts={"directory_age": "1ms"})
    assert rcpt(gateway, "anna@example.com") == "250 2.1.5"
    assert rcpt(gateway, "zoe@example.com") == "450 4.1.1"
    assert gateway.status()["directories"][0]["state"] == "too old"


def test_a_directory_whose_file_goes_away_defers_and_a_broken_one_is_not_taken(make_postern, server):
    gateway = make_postern([server], recipients={"example.com": ["anna"]})
    path = os.path.join(gateway.folder, "recipients", "example.com.cdb")
    with open(path + ".new", "wb") as file:
        file.write(b"no cdb at all" * 1000)
    os.rename(path + ".new", path)
    gateway.wait_log("directory of example.com cannot be read")
    assert rcpt(gateway, "anna@example.com") == "250 2.1.5"
    assert rcpt(gateway, "zoe@example.com") == "550 5.1.1"
    os.unlink(path)
    gateway.wait_log("directory of example.com is gone")
    eventually(lambda: rcpt(gateway, "zoe@example.com") == "450 4.1.1", "deferred")


def test_a_directory_written_in_place_kills_no_worker_and_is_taken_when_it_is_whole(make_postern, server, folder):
    """As cp and scp write: cut first, then filled."""
    gateway = make_postern([server], recipients={"example.com": ["anna", *(f"user{n}" for n in range(5000))]})
    path = os.path.join(gateway.folder, "recipients", "example.com.cdb")
    pids = gateway.worker_pids()
    with open(path, "r+b") as file:
        whole = file.read()
        file.truncate(0)
        file.flush()
        assert rcpt(gateway, "anna@example.com") == "250 2.1.5"
        assert rcpt(gateway, "user4999@example.com") == "250 2.1.5"
        assert rcpt(gateway, "zoe@example.com") == "550 5.1.1"
        file.seek(0)
        file.write(whole[:len(whole) // 2])
        file.flush()
        assert rcpt(gateway, "user4999@example.com") == "250 2.1.5"
        file.write(whole[len(whole) // 2:])
    eventually(lambda: len(gateway.find_all_log("directory of example.com taken: 5001 addresses")) == 2, "taken")
    with open(path, "r+b") as file:
        file.truncate(4096)
    gateway.wait_log("directory of example.com cannot be read: damaged")
    assert rcpt(gateway, "user4999@example.com") == "250 2.1.5"
    assert gateway.worker_pids() == pids
    gateway.kill_worker(pids[0])  # its successor has the same copy
    for number in range(8):
        assert rcpt(gateway, "user4999@example.com", source=f"127.0.1.{number + 1}") == "250 2.1.5"


def test_a_domain_without_directory_asks_the_mailbox_server(make_postern, make_server):
    server = make_server(behave={"RCPT": lambda moment: "550 5.1.1 Unknown there" if "zoe" in moment.line else "OK"})
    gateway = make_postern([server], recipients={}, domain=("example.com", {"directory": "none"}))
    assert rcpt(gateway, "anna@example.com") == "250 2.1.5"
    reply = rcpt(gateway, "zoe@example.com")
    assert reply == "550 5.1.1" and "Unknown there" in reply.text
    gateway.wait_journal(id=reply.id, rcpt_known="off", layer="relay")


@pytest.mark.parametrize("recipient", ["postmaster@example.com", "PostMaster@Example.COM", "abuse@example.com",
                                       "postmaster", "POSTMASTER"])
def test_postmaster_and_abuse_are_known_and_passed_as_they_are(recipient, make_postern, server):
    gateway = make_postern([server], recipients={"example.com": ["anna"]})
    assert rcpt(gateway, recipient) == "250 2.1.5"
    assert server.lines("RCPT") == [f"RCPT TO:<{recipient}>"]


@pytest.mark.parametrize("recipient", ["postmaster@example.com", "Abuse@example.com", "postmaster"])
def test_postmaster_is_rewritten_where_an_address_is_configured(recipient, make_postern, server, subject):
    gateway = make_postern([server], domain=("example.com", {"postmaster": "bert@example.com"}))
    with Client(gateway.address) as client:
        client.ehlo()
        assert client.envelope(recipient) == "250 2.1.5"
        assert client.data(message(subject)) == 250
    assert server.messages[0].recipients == ["bert@example.com"]


def test_postmaster_is_known_even_when_the_directory_is_missing(make_postern, server):
    gateway = make_postern([server], recipients={})
    assert rcpt(gateway, "postmaster@example.com") == "250 2.1.5"


@pytest.mark.parametrize("recipient, expected", [
    ("anna+lists@example.com", "250 2.1.5"), ("Anna+a+b@example.com", "250 2.1.5"), ("anna-x@example.com", "250 2.1.5"),
    ("zoe+lists@example.com", "550 5.1.1"), ("+anna@example.com", "550 5.1.1"), ("anna=x@example.com", "550 5.1.1")])
def test_sub_addresses_are_known_when_their_owner_is_and_are_passed_as_written(
        recipient, expected, make_postern, server):
    gateway = make_postern([server], domain=("example.com", {"delimiter": "+-"}))
    assert rcpt(gateway, recipient) == expected
    assert server.lines("RCPT") == ([f"RCPT TO:<{recipient}>"] if expected.startswith("250") else [])


@pytest.mark.parametrize("recipient, expected", [
    ("ANNA@EXAMPLE.COM", "250 2.1.5"), ('"anna"@example.com', "250 2.1.5"), ('"an\\na"@example.com', "250 2.1.5"),
    ("anna@example.com.", "501 5.1.3"), ("anna+x@example.com", "550 5.1.1"), ("ann@example.com", "550 5.1.1"),
    ("annaa@example.com", "550 5.1.1"), ("anna@sub.example.com", "554 5.7.1"), ("anna@example.net", "554 5.7.1"),
    ("anna%example.net@example.com", "554 5.7.1"), ("anna!example.net@example.com", "554 5.7.1"),
    ("@relay.example:anna@example.com", "250 2.1.5")])
def test_what_is_known_does_not_depend_on_case_or_quotes_and_nothing_else_slips_through(
        recipient, expected, make_postern, server):
    gateway = make_postern([server])
    assert rcpt(gateway, recipient) == expected


def test_a_catch_all_takes_every_recipient_as_it_is(make_postern, server):
    gateway = make_postern([server], domain=("example.com", {"catch_all": "yes"}))
    assert rcpt(gateway, "zoe@example.com") == "250 2.1.5"
    assert server.lines("RCPT") == ["RCPT TO:<zoe@example.com>"]


def test_a_catch_all_address_gets_what_the_directory_does_not_hold(make_postern, server):
    gateway = make_postern([server], domain=("example.com", {"catch_all": "bert@example.com"}))
    assert rcpt(gateway, "zoe@example.com") == "250 2.1.5"
    assert rcpt(gateway, "anna@example.com") == "250 2.1.5"
    assert server.lines("RCPT") == ["RCPT TO:<bert@example.com>", "RCPT TO:<anna@example.com>"]


def test_an_alias_domain_has_the_recipients_of_another_one_and_its_own_settings(make_postern, server):
    gateway = make_postern([server], recipients={"example.com": ["anna"]}, domain=[
        "example.com", ("example.org", {"directory": "of example.com", "delimiter": "+"})])
    assert rcpt(gateway, "anna@example.org") == "250 2.1.5"
    assert rcpt(gateway, "anna+x@example.org") == "250 2.1.5"
    assert rcpt(gateway, "anna+x@example.com") == "550 5.1.1"
    assert rcpt(gateway, "zoe@example.org") == "550 5.1.1"
    gateway.import_recipients("example.com", ["anna", "zoe"])
    eventually(lambda: rcpt(gateway, "zoe@example.org") == "250 2.1.5", "the new directory holds for both")


def test_domains_come_from_a_file_and_a_reload_reads_it_anew(make_postern, server):
    gateway = make_postern([server], start=False)
    path = os.path.join(gateway.folder, "domains")
    with open(path, "w", encoding="utf-8") as file:
        file.write("# ours\nexample.org\n")
    gateway.configure(domains=f"from {path}", domain_defaults={"directory": "of example.com"},
                      domain=("example.com", {"directory": "own"}))
    gateway.start()
    assert rcpt(gateway, "anna@example.org") == "250 2.1.5"
    assert rcpt(gateway, "anna@example.net") == "554 5.7.1"
    with open(path, "a", encoding="utf-8") as file:
        file.write("Example.NET\n")
    gateway.reload()
    assert rcpt(gateway, "anna@example.net") == "250 2.1.5"


def test_what_was_imported_is_exported_checked_and_counted_by_the_commands(make_postern, server):
    gateway = make_postern([server], recipients={"example.com": ["anna", "jörg"]}, start=False)
    exported = gateway.command("recipients", "export", "example.com").stdout
    assert exported.split() == ["anna@example.com", "jörg@example.com"]
    assert gateway.command("recipients", "check", "Anna@example.com").returncode == 0
    assert gateway.command("recipients", "check", "zoe@example.com").returncode == 1
    assert gateway.command("recipients", "check", "zoe@example.org").returncode != 0
    stats = gateway.command("recipients", "stats").stdout
    assert "example.com" in stats and "2" in stats


@pytest.mark.parametrize("name, text", [
    ("list", "# people\nanna@example.com\nzoe\n"),
    ("postfix", "anna@example.com  anna\nzoe@example.com zoe/\n"),
    ("csv", "name;mail\nAnna;anna@example.com\nZoe;zoe@example.com\n"),
    ("ldif", "dn: cn=anna\nmail: anna@example.com\nproxyAddresses: SMTP:anna@example.com\n\n"
             "dn: cn=zoe\nproxyAddresses: smtp:zoe@example.com\nproxyAddresses: x500:/o=zoe\n"),
])
def test_each_format_of_export_can_be_imported(name, text, make_postern, server):
    gateway = make_postern([server], recipients={})
    path = os.path.join(gateway.folder, "export")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    columns = ["--column", "mail", "--delimiter", ";"] if name == "csv" else []
    done = gateway.command("recipients", "import", "example.com", path, "--format", name, *columns)
    assert done.returncode == 0, done.stdout
    eventually(lambda: rcpt(gateway, "zoe@example.com") == "250 2.1.5", "known")
    exported = gateway.command("recipients", "export", "example.com").stdout
    assert exported.split() == ["anna@example.com", "zoe@example.com"]
