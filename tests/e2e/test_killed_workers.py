"""kill -9 of workers in the middle of deliveries: what was acknowledged has arrived."""
import random

from lib.load import Senders, numbers
from lib.deliver import subjects
from lib.server import Delay
from lib.wait import eventually

KILLS = 30
SENDERS = 20


def test_no_acknowledged_message_is_lost_when_workers_are_killed(make_server, make_postern, capsys):
    choice = random.Random(1)
    server = make_server({"END": lambda moment: Delay(choice.random() / 50),
                          "RCPT": lambda moment: Delay(choice.random() / 100)})
    gateway = make_postern([server], workers=4)
    with Senders(gateway.address, SENDERS) as senders:
        gateway.kill_workers(KILLS, choice)
        done = len(senders.acknowledged)
        eventually(lambda: len(senders.acknowledged) > done + SENDERS, "deliveries go on after the last kill")
    arrived = numbers(subjects(server))
    with capsys.disabled():
        print(f"\nworkers killed {KILLS} times: {senders.account(arrived)}")
    assert not senders.missing(arrived)
    assert not senders.unexplained(arrived)
    assert sum(senders.refused.values()) > 0, "no kill met a delivery"
    assert gateway.status()["worker_deaths"] == KILLS


def test_messages_cut_off_by_a_kill_are_not_delivered_in_part(make_server, make_postern):
    """Workers die while large messages go out; whatever the server took as complete is whole."""
    choice = random.Random(2)
    body = b"".join(b"%06d\r\n" % number for number in range(60000)) + b"the end\r\n"
    server = make_server()
    gateway = make_postern([server], workers=4)
    with Senders(gateway.address, 6, body=body) as senders:
        gateway.kill_workers(6, choice)
    arrived = numbers(subjects(server))
    assert all(message.body == body for message in server.messages)
    assert not senders.missing(arrived) and not senders.unexplained(arrived)
    assert senders.acknowledged
