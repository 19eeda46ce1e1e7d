"""The second door: a real Postfix in front, whose smtpd asks us by `check_policy_service` about every recipient."""
import os
import socket

import pytest

from lib.client import Client
from lib.ports import LOOPBACK, free_port
from lib.wait import eventually

OWN = "127.0.0.9"
RULES = 'layer policy {\n    reject "BANNED SENDER" when sender.address in banned_senders\n' \
        '    reject "HELO_IP" when helo.address\n    defer "SLOW" when sender.domain == "slow.example"\n}\n'
RESTRICTIONS = "permit_mynetworks, reject_unauth_destination, check_policy_service inet:{}:{}"


def restricted(port, **parameters):
    return {"mynetworks": f"{OWN}/32", "smtpd_recipient_restrictions": RESTRICTIONS.format(LOOPBACK, port),
            "domains": ("example.com", "other.example"), "smtpd_policy_service_retry_delay": "1s",
            **parameters}


@pytest.fixture
def door(folder, make_postern):
    """A gateway that answers Postfix on `door.policy_port`."""
    policy = os.path.join(folder, "policy")
    with open(policy, "w", encoding="utf-8") as file:
        file.write(RULES)
    port = free_port()
    gateway = make_postern(["127.0.0.1:1"], policy=policy, policy_listen=f"{LOOPBACK}:{port}",
                           relay_clients=["127.0.0.9"],
                           table=[("banned_senders addresses", {"entries": "bad@example.net"})])
    gateway.policy_port = port
    return gateway


def envelope(postfix, recipient, sender="good@example.net", helo="client.example", source="127.0.0.7"):
    with Client(postfix.address, source=source) as client:
        client.ehlo(helo)
        assert client.command(f"MAIL FROM:<{sender}>") == 250
        return client.command(f"RCPT TO:<{recipient}>")


def test_postfix_refuses_what_the_policy_refuses_and_takes_the_rest(door, make_postfix):
    postfix = make_postfix("asks", **restricted(door.policy_port))
    assert envelope(postfix, "anna@example.com") == 250
    unknown = envelope(postfix, "nobody@example.com")
    assert unknown == "550 5.1.1" and unknown.id
    assert envelope(postfix, "anyone@other.example") == 250  # no directory here: Postfix's affair
    banned = envelope(postfix, "anna@example.com", sender="bad@example.net")
    assert banned == "550 5.7.1" and "BANNED SENDER" in banned.text
    assert envelope(postfix, "anna@example.com", helo="[127.0.0.7]") == "550 5.7.1"
    assert envelope(postfix, "anna@example.com", sender="a@slow.example") == "450 4.7.1"
    assert envelope(postfix, "a@elsewhere.example") == "454 4.7.1"  # relay control is Postfix's own
    door.wait_log(rf'rule="BANNED SENDER" door=postfix sid={banned.id}')
    assert door.wait_journal(id=unknown.id, door="postfix")["rule"] == "NO SUCH USER"


def test_own_clients_are_left_alone(door, make_postfix):
    postfix = make_postfix("asks-for-its-own", **restricted(door.policy_port, mynetworks="127.0.0.99/32"))
    assert envelope(postfix, "nobody@example.com", source=OWN) == 250
    assert envelope(postfix, "nobody@example.com") == "550 5.1.1"


def test_a_door_that_is_shut_leaves_postfix_to_its_own_default(make_postfix):
    postfix = make_postfix("asks-nobody", **restricted(free_port()))
    assert envelope(postfix, "anna@example.com") == "451 4.3.5"
    postfix.reload(smtpd_policy_service_default_action="DUNNO")
    eventually(lambda: envelope(postfix, "anna@example.com") == 250, "postfix takes mail without us")


def test_many_requests_come_on_one_connection(door):
    request = "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=127.0.0.7\nhelo_name=x.example\n" \
              "sender=a@example.net\nrecipient={}@example.com\n\n"
    with socket.create_connection((LOOPBACK, door.policy_port), timeout=20) as sock, sock.makefile("rb") as said:
        sock.sendall("".join(request.format(name) for name in ["anna", "nobody"] * 200).encode())
        for _ in range(200):
            assert said.readline() == b"action=DUNNO\n" and said.readline() == b"\n"
            assert said.readline().startswith(b"action=550 5.1.1 ") and said.readline() == b"\n"
