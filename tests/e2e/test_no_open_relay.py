"""No spelling of a recipient of ours makes a mailbox server that trusts us send mail elsewhere.

The mailbox server is a Postfix as Debian sets it up on one host: mynetworks holds 127.0.0.0/8, and so us. What it would
send elsewhere goes to a transport that only writes it into the log.
"""
import pytest

from lib.client import Client, message
from lib.server import MailServer

EVIL = "evil.test"
SPELLINGS = [
    "anna+x%evil.test@{}", "anna%evil.test@{}", '"anna+x@evil.test"@{}', r'"anna+x\@evil.test"@{}',
    r'"anna\%evil.test"@{}', "evil.test!anna@{}", "postmaster%evil.test@{}", '"postmaster@evil.test"@{}',
    "anna%evil.test%{0}@{0}", "@{0},@relay.test:anna%evil.test@{0}", '"@evil.test:anna"@{}', "anna@evil.test@{}",
    '" anna@evil.test "@{}', "/tmp/x@{}", "|sh@{}", '"|sh -c x"@{}',
]
DOMAINS = {
    "sub.example": {"delimiter": "+"},
    "all.example": {"catch_all": "yes", "delimiter": "+"},
    "box.example": {"catch_all": "anna@box.example"},
    "none.example": {"directory": "none"},
}


@pytest.fixture(scope="module")
def trusting(make_postfix):
    """It takes all mail for the domains as its own, and reads routes."""
    return make_postfix("trusting", domains=(), mydestination=", ".join(DOMAINS), local_transport="discard:local",
                        default_transport="discard:foreign", relay_transport="discard:foreign",
                        smtpd_relay_restrictions="permit_mynetworks, reject_unauth_destination")


@pytest.fixture
def gateway(make_postern, trusting):
    lists = {domain: ["anna"] for domain in DOMAINS if domain != "none.example"}
    return make_postern([trusting], recipients=lists, domain=list(DOMAINS.items()))


def deliver(server, recipient, subject):
    with Client(server.address) as client:
        client.ehlo()
        reply = client.envelope(recipient)
        return client.data(message(subject)) if reply.code == 250 else reply


def test_without_us_such_a_server_sends_them_on(trusting, subject):
    assert deliver(trusting, "anna%evil.test@sub.example", subject) == 250
    trusting.wait_log(r"to=<anna@evil\.test>, .*status=sent \(foreign\)")


@pytest.mark.parametrize("domain", DOMAINS)
def test_nothing_is_sent_elsewhere_by_any_spelling(gateway, trusting, subject, domain):
    start = len(trusting.log())
    for spelling in SPELLINGS:
        reply = deliver(gateway, spelling.format(domain), subject)
        assert reply.code in (501, 550, 554), (spelling, reply)
    assert deliver(gateway, f"anna@{domain}", subject) == 250
    trusting.wait_log(rf"to=<anna@{domain}>, .*status=sent \(local\)", start)
    log = trusting.log()[start:]
    assert "foreign" not in log and EVIL not in log


def test_full_width_forms_are_no_way_round(make_postern, make_server):
    server = make_server()
    gateway = make_postern([server], domain=("example.com", {"directory": "none"}))
    for local in ("anna\uff05evil.test", "anna\uff20evil.test", "evil.test\uff01anna", "\uff0ftmp", "\uff5csh"):
        with Client(gateway.address) as client:
            client.ehlo()
            client.command("MAIL FROM:<a@client.example.net> SMTPUTF8")
            assert client.command(f"RCPT TO:<{local}@example.com>").code in (550, 554)
    assert not server.lines("RCPT")


def test_a_mailbox_of_such_a_name_is_reached_and_a_site_may_ask_for_more(make_postern, make_server, subject):
    server = make_server()
    gateway = make_postern([server], recipients={"example.com": ["anna%home"], "open.example": ["anna"]},
                           domain=["example.com", ("open.example", {"local_routes": "yes", "delimiter": "+"})])
    assert deliver(gateway, "anna%home@example.com", subject) == 250
    assert deliver(gateway, "anna+x%evil.test@open.example", subject) == 250
    assert "local_routes yes" in gateway.command("check").stdout


def test_explain_and_recipients_check_say_the_same(make_postern):
    with MailServer() as server:
        gateway = make_postern([server], domain=("example.com", {"delimiter": "+"}))
        to = "anna+x%evil.test@example.com"
        assert "relaying" in gateway.command("recipients", "check", to).stdout
        told = gateway.command("explain", "--client", "192.0.2.9", "--helo", "x.example", "--from", "a@b.example",
                               "--to", to).stdout
        assert "RELAY DENIED" in told
