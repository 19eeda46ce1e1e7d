"""What real senders hear and what arrives: swaks, curl, msmtp, Python's smtplib and Postfix's own client, with and
without TLS, through Postern to a real Postfix.
"""
import os
import re
import smtplib
import ssl
import subprocess

import pytest

from lib.client import ID, Client, message
from lib.ports import LOOPBACK, free_port
from lib.wait import eventually

SENDER = "sender@client.example.net"
HELLO = "client.example.net"
BODY = (b".\n..\n.leading dot\n\n trailing blanks \t \n" + b"x" * 900 + b"\n"
        + b"Gr\xc3\xbc\xc3\x9fe \xe9\x80\x9a\xe4\xbf\xa1\n" + b"From the start of a line\n\tend\n.\nlast\n")


def run(command, stdin=b""):
    """Returns (exit code, output)."""
    done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                          check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def with_swaks(gateway, recipient, text, folder, tls):
    path = os.path.join(folder, "message")
    with open(path, "wb") as file:
        file.write(text)
    return run(["swaks", "--server", f"{LOOPBACK}:{gateway.port}", "--helo", HELLO, "--from", SENDER, "--to", recipient,
                *(["--tls"] if tls else []), "--data", f"@{path}"])


def with_curl(gateway, recipient, text, folder, tls):
    path = os.path.join(folder, "message")
    with open(path, "wb") as file:
        file.write(text.replace(b"\n", b"\r\n"))
    return run(["curl", "-sSv", f"smtp://{LOOPBACK}:{gateway.port}/{HELLO}", "--mail-from", SENDER,
                "--mail-rcpt", recipient, *(["--ssl-reqd", "--insecure"] if tls else []), "-T", path])


def with_msmtp(gateway, recipient, text, folder, tls):
    return run(["msmtp", "--file=/dev/null", f"--host={LOOPBACK}", f"--port={gateway.port}", f"--domain={HELLO}",
                f"--from={SENDER}", "--auth=off", f"--tls={'on' if tls else 'off'}", "--tls-certcheck=off", "--",
                recipient], text)


def with_smtplib(gateway, recipient, text, folder, tls):
    with smtplib.SMTP(LOOPBACK, gateway.port, local_hostname=HELLO, timeout=30) as client:
        if tls:
            client.starttls(context=ssl._create_unverified_context())
        try:
            client.sendmail(SENDER, [recipient], text.replace(b"\n", b"\r\n"))
        except smtplib.SMTPRecipientsRefused as refused:
            code, words = refused.recipients[recipient]
            return 1, f"{code} {words.decode()}"
    return 0, ""


SENDERS = {"swaks": with_swaks, "curl": with_curl, "msmtp": with_msmtp, "smtplib": with_smtplib}


@pytest.fixture(scope="module")
def certificates(authority):
    return [authority.issue("mx.example.com", "ecdsa"), authority.issue("mx.example.com", "rsa"),
            authority.issue("mx.example.org", "ecdsa"), authority.issue("mx.example.org", "rsa")]


@pytest.fixture(scope="module")
def ports():
    """Known before the gateways run, for the Postfix that sends through them."""
    return {False: free_port(), True: free_port()}


@pytest.fixture(scope="module")
def gateways(make_shared_postern, postfix, certificates, ports):
    """One without TLS, and one with it. Small spool, so that large messages take the way over the file."""
    return {
        False: make_shared_postern([postfix], port=ports[False], limits={"memory_spool": "64K"}),
        True: make_shared_postern([postfix], port=ports[True], tls={"certificate": certificates},
                                  group={"tls": "require", "forward_client": "xforward"}),
    }


@pytest.fixture(scope="module")
def sender_postfix(make_postfix, gateways, ports):
    """Relays everything through a gateway; the sender's address says through which."""
    plain, over_tls = f"smtp:[{LOOPBACK}]:{ports[False]}", f"smtp:[{LOOPBACK}]:{ports[True]}"
    transports = f"inline:{{ {{ tls@client.example.net = {over_tls} }} }}"
    return make_postfix("sender", smtp_tls_security_level="may", virtual_mailbox_domains="", smtp_helo_name=HELLO,
                        default_transport=plain, sender_dependent_default_transport_maps=transports)


def offers(gateway, *names):
    """Waits until the gateway has met the mailbox server and offers what both can."""
    def ask():
        with Client(gateway.address) as client:
            client.ehlo()
            return all(name in client.extensions for name in names)
    eventually(ask, f"{names} offered")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("sender", SENDERS)
def test_mail_of_a_real_sender_arrives_with_the_same_body(sender, tls, gateways, postfix, folder, subject):
    offers(gateways[tls], "SMTPUTF8", "DSN")
    text = message(subject).replace(b"\r\n", b"\n").removesuffix(b"Hello.\n") + BODY
    code, output = SENDERS[sender](gateways[tls], "anna@example.com", text, folder, tls)
    assert code == 0, output
    mail = postfix.wait_mail("anna@example.com", subject)
    assert mail.body.rstrip(b"\n") == BODY.rstrip(b"\n")
    received = mail.all("Received")
    assert len(received) == 2
    over, protocol = (r"\(using TLSv1\.3 with cipher \S+\) ", "(?:ESMTP|UTF8SMTP)S") if tls \
            else ("", "(?:ESMTP|UTF8SMTP)")  # later versions of msmtp ask for SMTPUTF8 where it is offered
    assert re.match(rf"from {HELLO} \(unknown \[127\.0\.0\.1\]\) {over}"
                    rf"by mx\.example\.com \(Postern\) with {protocol} id ", received[1])


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("sender", SENDERS)
def test_an_unknown_recipient_is_refused_to_a_real_sender_with_an_id_that_leads_to_log_and_journal(
        sender, tls, gateways, folder, subject):
    text = message(subject).replace(b"\r\n", b"\n")
    code, output = SENDERS[sender](gateways[tls], "nobody@example.com", text, folder, tls)
    assert code != 0
    refusal = re.search(r"550 5\.1\.1 .*", output)
    assert refusal, output
    identity = ID.search(refusal[0])[1]
    line = gateways[tls].wait_log(rf"reject: RCPT from .*sid={re.escape(identity)}$")[0]
    assert 'rule="NO SUCH USER"' in line and "to=<nobody@example.com>" in line
    record = gateways[tls].wait_journal(id=identity)
    assert (record["rcpt"], record["rcpt_known"], record["action"], record["reply"]["code"]) == (
        "nobody@example.com", "no", "reject", 550)
    assert ("tls" in record) == tls


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_mail_of_a_second_postfix_arrives_with_the_same_body(tls, sender_postfix, gateways, postfix, subject):
    text = message(subject).replace(b"\r\n", b"\n").removesuffix(b"Hello.\n") + BODY
    offers(gateways[tls], "SMTPUTF8", "DSN")
    sender_postfix.send("tls@client.example.net" if tls else SENDER, ["anna@example.com", "bert@example.com"], text)
    for recipient in ("anna@example.com", "bert@example.com"):
        mail = postfix.wait_mail(recipient, subject)
        assert mail.body == BODY
        through = [field for field in mail.all("Received") if "by mx.example.com" in field]
        assert len(through) == 1 and (" with ESMTPS id " in through[0]) == tls


def test_a_second_postfix_bounces_what_is_refused_with_our_words_and_id(sender_postfix, gateways, subject):
    sender_postfix.send(SENDER, ["nobody@example.com"], message(subject).replace(b"\r\n", b"\n"))
    line = sender_postfix.wait_log(r"to=<nobody@example\.com>.*dsn=5\.1\.1, status=bounced .*")[0]
    assert "550 5.1.1 No such recipient here" in line
    gateways[False].wait_journal(id=ID.search(line)[1])


def test_the_mailbox_servers_own_refusal_reaches_the_client_with_an_id(gateways):
    with Client(gateways[False].address) as client:
        client.ehlo()
        reply = client.envelope("refused@example.com")
        assert reply == "550 5.2.1" and "Mailbox closed" in reply.text
        record = gateways[False].wait_journal(id=reply.id)
        assert record["layer"] == "relay" and record["server"]


# ---- STARTTLS

@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
@pytest.mark.parametrize("name", ["mx.example.com", "mx.example.org", "elsewhere.example.net"])
@pytest.mark.parametrize("algorithms, signature", [
    ("ECDSA+SHA256", "ECDSA|ecdsa_secp256r1_sha256"),  # OpenSSL before 3.5, and from it on
    ("RSA-PSS+SHA256", "RSA-PSS|rsa_pss_rsae_sha256")], ids=["ecdsa", "rsa"])
def test_starttls_presents_the_certificate_that_the_client_can_check(
        gateways, authority, version, name, algorithms, signature):
    code, output = run(["openssl", "s_client", "-starttls", "smtp", "-connect", f"{LOOPBACK}:{gateways[True].port}",
                        f"-{version}", "-servername", name, "-sigalgs", algorithms, "-CAfile", authority.certificate,
                        "-verify_return_error", "-brief"], b"QUIT\r\n")
    assert code == 0, output
    assert f"Protocol version: {version.upper().replace('TLS', 'TLSv').replace('_', '.')}" in output
    expected = name if name != "elsewhere.example.net" else "mx.example.com"
    assert f"Peer certificate: CN={expected}" in output.replace("CN = ", "CN=")  # OpenSSL 3.0, and later ones
    assert re.search(rf"^(Peer s|S)ignature type: ({signature})$", output, re.M), output


def test_a_client_of_tls_1_1_is_turned_away(gateways):
    code, output = run(["openssl", "s_client", "-starttls", "smtp", "-connect", f"{LOOPBACK}:{gateways[True].port}",
                        "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-brief"])
    assert code != 0 and "alert protocol version" in output


def test_min_version_1_3_turns_away_clients_of_tls_1_2(make_postern, make_server, certificates):
    gateway = make_postern([make_server()], tls={"certificate": certificates, "min_version": "1.3"})
    for version, is_taken in (("-tls1_2", False), ("-tls1_3", True)):
        code, _ = run(["openssl", "s_client", "-starttls", "smtp", "-connect", f"{LOOPBACK}:{gateway.port}", version,
                       "-brief"], b"QUIT\r\n")
        assert (code == 0) == is_taken


def test_starttls_is_offered_once_and_only_where_there_is_a_certificate(gateways):
    with Client(gateways[False].address) as client:
        client.ehlo()
        assert "STARTTLS" not in client.extensions
        assert client.command("STARTTLS") == "502 5.5.1"
    with Client(gateways[True].address) as client:
        client.ehlo()
        assert "STARTTLS" in client.extensions
        client.starttls()
        client.ehlo()
        assert "STARTTLS" not in client.extensions
        assert client.command("STARTTLS") == "503 5.5.1"


# ---- extensions

def test_utf8_addresses_pass_to_the_mailbox_server(gateways, postfix, subject):
    offers(gateways[False], "SMTPUTF8")
    with Client(gateways[False].address) as client:
        client.ehlo()
        assert client.envelope("jörg@example.com", sender="zoë@client.example.net",
                               parameters="SMTPUTF8 BODY=8BITMIME") == "250 2.1.5"
        assert client.data(message(subject)) == "250 2.0.0"
    mail = postfix.wait_mail("jörg@example.com", subject)
    assert mail["Return-Path"] == "<zoë@client.example.net>"
    assert " with UTF8SMTP id " in mail.all("Received")[1]


def test_utf8_addresses_without_smtputf8_are_refused(gateways):
    with Client(gateways[False].address) as client:
        client.ehlo()
        assert client.envelope("jörg@example.com") == "553 5.6.7"


def test_chunks_of_a_raw_client_arrive_as_one_message(gateways, postfix, subject):
    text = message(subject, BODY.replace(b"\n", b"\r\n"))
    with Client(gateways[False].address) as client:
        client.ehlo()
        client.envelope("anna@example.com", parameters="BODY=8BITMIME")
        assert client.bdat(text[:70], text[70:71], text[71:], b"") == "250 2.0.0"
        assert client.command("NOOP") == 250
    assert postfix.wait_mail("anna@example.com", subject).body == BODY


def test_dsn_parameters_reach_the_mailbox_server(make_shared_postern, make_shared_server, subject):
    server = make_shared_server()
    gateway = make_shared_postern([server])
    offers(gateway, "DSN")
    with Client(gateway.address) as client:
        client.ehlo()
        client.command("MAIL FROM:<sender@client.example.net> RET=HDRS ENVID=QQ314159")
        assert client.command("RCPT TO:<anna@example.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;anna@example.com") == 250
        assert client.data(message(subject)) == 250
    sent = server.messages[0]
    assert "RET=HDRS" in sent.mail and "ENVID=QQ314159" in sent.mail
    assert "NOTIFY=SUCCESS,FAILURE" in sent.rcpts[0] and "ORCPT=rfc822;anna@example.com" in sent.rcpts[0]


def test_a_success_notification_asked_for_by_dsn_is_made_by_postfix(gateways, postfix, subject):
    offers(gateways[False], "DSN")
    with Client(gateways[False].address) as client:
        client.ehlo()
        client.command("MAIL FROM:<carl@example.com> RET=HDRS ENVID=QQ314159")
        assert client.command("RCPT TO:<anna@example.com> NOTIFY=SUCCESS ORCPT=rfc822;orig@example.com") == 250
        assert client.data(message(subject)) == 250
    notice = postfix.wait_mail("carl@example.com", "Successful Mail Delivery Report")
    assert b"Original-Envelope-Id: QQ314159" in notice.text
    assert b"Original-Recipient: rfc822;orig@example.com" in notice.text


def test_a_message_of_30_megabytes_passes_through_the_spool_file(gateways, postfix, subject):
    line = bytes(range(33, 127)) * 8 + b"\r\n"
    text = message(subject, line * (30_000_000 // len(line)))
    with Client(gateways[False].address, timeout=60) as client:
        client.ehlo()
        assert client.command(f"MAIL FROM:<sender@client.example.net> SIZE={len(text)}") == 250
        assert client.command("RCPT TO:<anna@example.com>") == 250
        assert client.data(text) == 250
    mail = postfix.wait_mail("anna@example.com", subject)
    assert mail.body == text.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n")
    assert not os.listdir(os.path.join(gateways[False].folder, "spool"))


def test_the_client_is_told_to_the_mailbox_server_by_xforward(gateways, postfix, subject):
    with Client(gateways[True].address, source="127.4.5.6") as client:
        client.ehlo("told.example.net")
        client.envelope("anna@example.com")
        assert client.data(message(subject)) == 250
    mail = postfix.wait_mail("anna@example.com", subject)
    queue_id = re.search(r" id (\w+)", mail.all("Received")[0])[1]
    postfix.wait_log(rf"{queue_id}: client=.*orig_client=unknown\[127\.4\.5\.6\]")
