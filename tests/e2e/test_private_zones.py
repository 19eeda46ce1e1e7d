"""Clients with private addresses: a site that runs a name server for them (`stub`) has their names looked up there,
however all other names are found. libunbound would answer for most of these zones by itself, that there is nothing;
then every host of one's own network was one without a name. NSD has the zones, clients come in behind a PROXY
header."""
import os

import pytest

from lib import nameserver
from lib.client import Client, proxy_v1
from lib.ports import LOOPBACK, free_port

NAMED = ["10.0.0.7", "172.16.0.7", "192.168.1.7", "fd00::7"]
NAMELESS, ELSEWHERE = "10.0.0.8", "10.1.0.7"  # in a zone that is ours, and in one that nobody has a server for
INSIDE = "".join(f"mail {'AAAA' if ':' in address else 'A'} {address}\n" for address in NAMED)
NAME = "7 PTR mail.inside.example.\n"
# The zone of one network, that of a part of it, and the whole of what is private.
ZONES = {"inside.example": INSIDE, "0.0.10.in-addr.arpa": NAME, "16.172.in-addr.arpa": "7.0 PTR mail.inside.example.\n",
         "168.192.in-addr.arpa": "7.1 PTR mail.inside.example.\n",
         "d.f.ip6.arpa": "7" + ".0" * 29 + " PTR mail.inside.example.\n"}
POLICY = """\
layer policy {
    reject "NAMED"    when ptr.confirmed and ptr.name == "mail.inside.example"
    reject "NAMELESS" when ptr.none
}
"""
# Nobody answers there: what is not asked of the stub's server is not known.
WAYS = {"forward": lambda: {"use": "forward", "forward_to": f"{LOOPBACK}:{free_port()}"},
        "recurse": lambda: {"use": "recurse"}}


@pytest.fixture(scope="module")
def nsd(make_name_server):
    return make_name_server(nameserver.Nsd, ZONES)


@pytest.fixture(scope="module", params=list(WAYS))
def gateway(request, make_shared_postern, make_shared_server, base_folder, nsd):
    policy = os.path.join(base_folder, f"private-zones-{request.param}")
    with open(policy, "w", encoding="utf-8") as file:
        file.write(POLICY)
    dns = {**WAYS[request.param](), "stub": [f"{zone} {nsd}" for zone in ZONES], "timeout": "2s"}
    return make_shared_postern([make_shared_server()], listener={"proxy_from": LOOPBACK}, policy=policy, dns=dns)


def rule_for(gateway, client):
    """The rule that refused this client, "" when none did."""
    with Client(gateway.address, first=proxy_v1(client)) as session:
        session.ehlo("mail.inside.example")
        reply = session.envelope("anna@example.com")
    return gateway.wait_journal(id=reply.id)["rule"] if reply == 550 else ""


@pytest.mark.parametrize("client", NAMED)
def test_the_name_of_a_private_address_is_asked_of_the_server_of_its_zone(client, gateway):
    assert rule_for(gateway, client) == "NAMED"


def test_a_private_address_that_its_zone_does_not_name_has_no_name(gateway):
    assert rule_for(gateway, NAMELESS) == "NAMELESS"


@pytest.mark.parametrize("gateway", ["forward"], indirect=True)  # to recurse would be to ask the Internet
def test_a_private_address_that_nobody_can_be_asked_about_is_not_known_to_have_none(gateway):
    assert rule_for(gateway, ELSEWHERE) == ""
