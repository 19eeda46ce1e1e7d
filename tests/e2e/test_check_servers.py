"""postern check --servers: what the servers are asked, what is said of them, and that it always ends."""
import os

import pytest

from lib import nameserver
from lib.ports import free_port
from lib.server import DROP, HANG, Delay

FAST = {"server_connect": "1s", "server_greeting": "500ms", "server_command": "500ms"}


def check(gateway):
    """The exit code, and the lines behind the summary."""
    done = gateway.command("check", "--servers")
    return done.returncode, [line for line in done.stdout.splitlines() if line.startswith(("ok ", "problem "))]


def check_one(make_postern, server, **options):
    options = {"dns": {"use": "off"}, "timeouts": FAST, **options}
    code, lines = check(make_postern([server], start=False, **options))
    assert len(lines) == 1, lines
    assert code == lines[0].startswith("problem")
    return lines[0]


STRANGER = {"RCPT": "554 5.7.1 Relay access denied"}


def test_a_postfix_that_trusts_us_relays_for_us(make_postern, make_postfix):
    trusting = make_postfix("check-trusting", default_transport="discard:foreign")
    line = check_one(make_postern, trusting)
    assert line.startswith("problem mailbox ") and "RELAYS FOR US" in line
    assert "DATA" not in trusting.log() and "foreign" not in trusting.log()


@pytest.mark.parametrize("how", ["off", "xforward", "xclient"])
def test_a_postfix_that_does_not_trust_us_is_fine(make_postern, make_postfix, authority, how):
    certificate = authority.issue(f"{how}.example.com")
    server = make_postfix(f"check-{how}", mynetworks="198.51.100.0/24", smtpd_tls_security_level="may",
                          smtpd_tls_cert_file=certificate.chain, smtpd_tls_key_file=certificate.key,
                          smtpd_soft_error_limit="3", smtpd_error_sleep_time="1s")
    line = check_one(make_postern, server, group={"tls": "may", "forward_client": how},
                     timeouts={**FAST, "server_command": "5s"})
    assert line.startswith("ok ") and "does not relay for us" in line
    assert "TLSv1.3" in line and "certificate until 2" in line and "SIZE 104857600" in line and "CHUNKING" in line
    assert "delays answers after" in line
    if how == "xforward":
        assert "XFORWARD is allowed" in line and "XFORWARD of IPv6 clients is refused" in line
    if how == "xclient":
        assert "XCLIENT is allowed" in line


def test_a_smart_host_must_relay(make_postern, make_server):
    mailbox, smart, broken = make_server(STRANGER), make_server(), make_server(STRANGER)
    block = {"tls": "none"}
    gateway = make_postern([], start=False, dns={"use": "off"}, domain_defaults={"servers": "mailbox"},
                           servers=[("mailbox", {"server": str(mailbox), **block}),
                                    ("out", {"server": [str(smart), str(broken)], **block})],
                           relay_clients="127.0.0.9", smart_host="out")
    code, lines = check(gateway)
    assert code == 1 and [line.split()[0] for line in lines] == ["ok", "ok", "problem"]
    assert "relays for us, as a smart host must" in lines[1] and "does not relay for us" in lines[2]
    assert not any(server.lines("DATA") or server.lines("BDAT") for server in (mailbox, smart, broken))


@pytest.mark.parametrize("behave, words", [
    ({"CONNECT": HANG}, "greeting timed out"),
    ({"CONNECT": "554 go away"}, "greeting: 554"),
    ({"CONNECT": "what is this"}, "is no SMTP"),
    ({"CONNECT": DROP}, "closed the connection"),
    ({"EHLO": HANG}, "EHLO timed out"),
    ({"MAIL": HANG}, "gone at MAIL: answer timed out"),
    ({"MAIL": "530 5.7.0 Must issue a STARTTLS command first"}, "MAIL is refused: 530 5.7.0 Must issue"),
    ({"RCPT": DROP}, "gone at RCPT"),
])
def test_a_server_that_misbehaves_gets_a_clear_line(make_postern, make_server, behave, words):
    line = check_one(make_postern, make_server(behave))
    assert line.startswith("problem ") and words in line


def test_a_server_that_ends_the_connection_is_seen(make_postern, make_server):
    line = check_one(make_postern, make_server({"RCPT": b"554 x\r\n554 y\r\n"}))
    assert "ends the connection after 1 errors: talks out of turn" in line


def test_a_server_that_is_away_gets_a_clear_line(make_postern):
    assert "Connection refused" in check_one(make_postern, f"127.0.0.1:{free_port()}")


def test_a_server_without_the_extension_that_is_asked_for_is_a_problem(make_postern, make_server):
    line = check_one(make_postern, make_server(STRANGER, without=("XFORWARD",)), group={"forward_client": "xforward"})
    assert "XFORWARD is not offered to us" in line


def test_errors_that_are_delayed_are_seen(make_postern, make_server):
    server = make_server({"RCPT": Delay(0.6, "554 5.7.1 No")})
    assert "delays answers after 1 errors" in check_one(make_postern, server, timeouts={**FAST, "server_command": "5s"})


def scanner_lines(make_postern, make_server, **options):
    gateway = make_postern([make_server(STRANGER)], start=False, dns={"use": "off"}, timeouts=FAST, **options)
    code, lines = check(gateway)
    assert code == any(line.startswith("problem") for line in lines)
    return lines[1:]


def test_scanners_that_answer_are_named_with_their_version(make_postern, make_server, make_clamd, make_spamd):
    clamd, spamd = make_clamd(), make_spamd()
    first, second = scanner_lines(make_postern, make_server, clamav={"server": clamd.unix},
                                  spamassassin={"server": spamd.unix})
    assert first.startswith("ok ") and "answers, ClamAV" in first
    assert second.startswith("ok ") and "PONG" in second


def test_scanners_that_are_away_or_talk_nonsense_are_problems(make_postern, make_server, folder):
    nonsense = make_server({"CONNECT": "550 I am no scanner"})
    lines = scanner_lines(make_postern, make_server, clamav={"server": [f"unix:{folder}/away", str(nonsense)]},
                          spamassassin={"server": f"127.0.0.1:{free_port()}"})
    assert [line.split()[0] for line in lines] == ["problem"] * 3
    assert "No such file" in lines[0] and "nonsense: 550 I am no scanner" in lines[1]
    assert "Connection refused" in lines[2]


def test_dns_that_answers_is_fine_and_one_that_does_not_a_problem(make_postern, make_server, make_name_server):
    server = make_server(STRANGER)
    zones = make_name_server(nameserver.Nsd, {"example.com": "@ MX 10 mail\n"})
    for at, good in ((zones, True), (f"127.0.0.1:{free_port()}", False)):
        gateway = make_postern([server], start=False, timeouts=FAST, dns={"use": "forward", "forward_to": str(at)})
        code, lines = check(gateway)
        assert code == (not good) and lines[1].startswith("ok " if good else "problem ")


def test_postgresql_without_and_with_its_tables(make_host, shared_server):
    host = make_host("one")
    code, lines = check(host.gateway)
    assert code == 1 and lines[-1].startswith("problem PostgreSQL")
    assert host.gateway.command("store", "init").returncode == 0
    assert check(host.gateway)[1][-1] == "ok      PostgreSQL store: answers, the tables are there"
    shared_server.stop()
    assert check(host.gateway)[1][-1].startswith("problem PostgreSQL")
    assert os.path.exists(host.gateway.conf)
