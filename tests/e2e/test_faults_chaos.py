"""Two mailbox servers that fail at random, at any moment of the dialogue, under many senders: what was acknowledged has
arrived, what came twice had a sender left in doubt, and nothing that arrived is torn."""
import random

import pytest

from lib.deliver import send_until_taken
from lib.load import Senders, numbers
from lib.server import DROP, OK, RESET, Delay

TOTAL = 300
SENDERS = 16
DEATHS = [DROP, RESET, b"!? what\r\n", Delay(0.02), [Delay(0.01), DROP]]
TROUBLES = {
    "BDAT": [*DEATHS, ["421 4.3.2 Closing", DROP], ["451 4.3.0 Not now", DROP]],  # nothing is taken behind it
    "": [*DEATHS, "421 4.3.2 Closing", "451 4.3.0 Not now"],
}
RATES = {"CONNECT": 0.05, "EHLO": 0.03, "XFORWARD": 0.01, "MAIL": 0.03, "RCPT": 0.03, "DATA": 0.03, "BDAT": 0.05,
         "END": 0.08, "RSET": 0.03, "QUIT": 0.1}
BODIES = {"small": b"A few words.\r\n.\r\n..\r\n",
          "large": b"".join(b"%06d\r\n.\r\n" % number for number in range(60000))}


def failing(choice):
    def fail(moment):
        troubles = TROUBLES.get(moment.name, TROUBLES[""])
        return choice.choice(troubles) if choice.random() < RATES[moment.name] else OK
    return {name: fail for name in RATES}


def stored(server):
    """Messages that a real server would have kept: those it did not refuse."""
    return [message for message in server.messages if message.answer[:1] not in ("4", "5")]


@pytest.mark.parametrize("way", ["bdat", "data", "lockstep"])
@pytest.mark.parametrize("size", BODIES)
def test_no_acknowledged_message_is_lost_between_servers_that_fail_at_random(make_server, make_postern, capsys, size,
                                                                             way):
    choice = random.Random(f"{size} {way}")
    without = {"bdat": (), "data": ("CHUNKING",), "lockstep": ("CHUNKING", "PIPELINING")}[way]
    servers = [make_server(failing(choice), without=without, idle_close_s=0.5) for _ in range(2)]
    gateway = make_postern(servers, group={"forward_client": "xforward"}, limits={"server_connections": 8},
                           timeouts={"relay_hold": "20ms"})
    pids = gateway.worker_pids()
    total = TOTAL if size == "small" else TOTAL // 5
    with Senders(gateway.address, SENDERS, total=total, body=BODIES[size]) as senders:
        senders.join()
    kept = [message for server in servers for message in stored(server)]
    arrived = numbers(message.header("Subject") for message in kept)
    with capsys.disabled():
        print(f"\n{size}, {way}: {senders.account(arrived)}")
    assert len(senders.acknowledged) == total
    assert not senders.missing(arrived)
    assert not senders.unexplained(arrived)
    assert all(message.body == BODIES[size] for server in servers for message in server.messages)
    assert gateway.worker_pids() == pids
    for server in servers:
        server.behave.clear()
    assert send_until_taken(gateway, "after") == 250
