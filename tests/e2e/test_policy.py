"""The policy as an administrator meets it: what `check` says of a broken one, and what a reload does with it."""
import os

import pytest

from lib.client import Client

BANNED = 'layer connection { reject "BANNED IP" when client in banned }\n'


def write(gateway, text):
    with open(os.path.join(gateway.folder, "policy"), "w", encoding="utf-8") as file:
        file.write(text)


@pytest.fixture
def gateway(make_postern, make_server):
    gateway = make_postern([make_server()], start=False)
    write(gateway, BANNED)
    gateway.configure(policy="policy", dns={"use": "off"}, table=("banned cidr", {"entries": "127.0.0.0/8"}))
    return gateway.start()


def refusal(gateway):
    with Client(gateway.address) as client:
        client.ehlo()
        return client.envelope("anna@example.com")


def test_a_banned_client_is_refused_by_its_rule(gateway):
    reply = refusal(gateway)
    assert reply == "554 5.7.1"
    record = gateway.wait_journal(id=reply.id)
    assert (record["layer"], record["rule"], record["action"]) == ("connection", "BANNED IP", "reject")


def test_check_shows_where_a_policy_is_wrong(gateway):
    write(gateway, 'layer policy { reject "R" when helo.adress }\n')
    done = gateway.command("check")
    assert done.returncode != 0
    assert "policy:1:32:" in done.stdout and "helo.address" in done.stdout and "^" in done.stdout


def test_check_names_the_test_that_fails(gateway):
    write(gateway, BANNED + 'test "banned ones pass" { given client in banned expect pass }\n')
    done = gateway.command("check")
    assert done.returncode != 0 and "banned ones pass" in done.stdout and "BANNED IP" in done.stdout


def test_a_reload_with_a_broken_policy_keeps_the_old_one(gateway):
    write(gateway, "layer nonsense {}\n")
    assert gateway.command("reload").returncode != 0
    assert refusal(gateway) == "554 5.7.1"


def test_nobody_else_is_the_address_that_was_connected_to_where_we_listen_on_all_of_them(make_postern, make_server):
    gateway = make_postern([make_server()], start=False)
    write(gateway, 'layer policy { reject "HELO IS OURS" when helo.ours }\n')
    gateway.configure(policy="policy", dns={"use": "off"}, listen=f"0.0.0.0:{gateway.port}")
    gateway.start()
    for helo, code in {"[127.0.0.3]": 550, "127.0.0.3": 550, "[127.0.0.4]": 250, "mx.example.com": 550}.items():
        with Client(("127.0.0.3", gateway.port), source="127.0.0.5") as client:
            client.ehlo(helo)
            assert client.envelope("anna@example.com") == code, helo
