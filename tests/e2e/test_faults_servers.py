"""Whatever a mailbox server does, the client gets a true answer, and a message arrives exactly once or not at all."""
import socket

import pytest

from lib.client import Client, Closed, message
from lib.deliver import RECIPIENT, send, send_until_taken, subjects
from lib.load import Senders, numbers
from lib.ports import LOOPBACK, free_port
from lib.server import DROP, EXTENSIONS, GREETING, HANG, RESET, Delay, Gate, MailServer
from lib.wait import eventually

FAST = {"server_greeting": "400ms", "server_command": "400ms", "server_connect": "400ms"}
NO_CHUNKING = {"without": ("CHUNKING",)}
NO_PIPELINING = {"without": ("CHUNKING", "PIPELINING")}
WAYS = {"bdat": {}, "data": NO_CHUNKING, "lockstep": NO_PIPELINING}
NONSENSE = b"\x16\x03\x01 what is this\r\n"


# ---- a server that cannot be spoken to

NEVER_READY = {
    "closes at once": {"CONNECT": DROP},
    "resets at once": {"CONNECT": RESET},
    "never greets": {"CONNECT": HANG},
    "refuses by its banner": {"CONNECT": "554 5.7.1 Go away, mailbox.example.com wants nobody"},
    "is busy by its banner": {"CONNECT": "421 4.3.2 Too busy"},
    "greets with 250": {"CONNECT": "250 mailbox.example.com"},
    "speaks HTTP": {"CONNECT": b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n"},
    "speaks TLS": {"CONNECT": b"\x15\x03\x01\x00\x02\x02\x28"},
    "greets without end": {"CONNECT": b"220-" + b"x" * 100000},
    "greets in endless lines": {"CONNECT": b"220-hello\r\n" * 10000},
    "closes at EHLO": {"EHLO": DROP},
    "is silent at EHLO": {"EHLO": HANG},
    "says 421 to EHLO": {"EHLO": "421 4.3.0 Shutting down"},
    "answers EHLO with nonsense": {"EHLO": NONSENSE},
    "answers EHLO with a torn line": {"EHLO": [b"250-mailbox.example.com\r\n250-PIPEL", DROP]},
    "refuses EHLO for now": {"EHLO": "451 4.3.0 Not now"},
    "refuses EHLO and HELO": {"EHLO": "502 5.5.1 No", "HELO": "550 5.7.1 No"},
}


@pytest.mark.parametrize("how", NEVER_READY)
def test_a_server_that_cannot_be_spoken_to_defers_the_recipient(make_server, make_postern, how):
    server = make_server(NEVER_READY[how])
    gateway = make_postern([server], timeouts=FAST, workers=1)
    reply = send(gateway)
    assert reply == "451 4.4.1" and reply.id
    assert "mailbox.example.com" not in reply.text and LOOPBACK not in reply.text
    assert not server.lines("MAIL") and not server.messages
    assert gateway.find_log(rf"mailbox server {server} \(mailbox\): down")


def test_a_server_where_nobody_listens_defers_the_recipient(make_postern):
    gateway = make_postern([f"{LOOPBACK}:{free_port()}"])
    assert send(gateway) == "451 4.4.1"


def test_a_server_that_greets_slowly_is_waited_for(make_server, make_postern):
    server = make_server({"CONNECT": Delay(0.5), "EHLO": Delay(0.3)})
    gateway = make_postern([server], workers=1)
    assert send(gateway) == "250 2.0.0"
    assert len(server.messages) == 1


def test_a_server_that_knows_no_ehlo_gets_the_mail_by_helo(make_server, make_postern):
    server = make_server({"EHLO": "502 5.5.1 What?"}, extensions=())
    gateway = make_postern([server])
    assert send(gateway) == "250 2.0.0"
    assert server.messages[0].mail == "MAIL FROM:<sender@client.example.net>"


def test_mail_goes_on_when_the_server_is_back(make_server, make_postern):
    server = make_server()
    gateway = make_postern([server], workers=1)
    assert send(gateway, "before") == 250
    server.crash()
    assert send(gateway, "during") == "451 4.4.1"
    server.listen()
    reply = send_until_taken(gateway, "after")
    assert reply == 250
    gateway.wait_log(r"mailbox server .*: up again")
    assert subjects(server) == ["before", "after"]


# ---- trouble at a step

GONE = {"closes": DROP, "resets": RESET, "says 421": "421 4.3.2 mailbox.example.com closes", "talks nonsense": NONSENSE,
        "says 299 and 999": b"999 what\r\n", "says 354 out of place": "354 Go on", "is silent": HANG}


@pytest.mark.parametrize("how", GONE)
@pytest.mark.parametrize("verb", ["MAIL", "RCPT"])
def test_a_server_that_fails_before_the_recipient_is_answered_defers_it(make_server, make_postern, verb, how):
    server = make_server({verb: GONE[how]})
    gateway = make_postern([server], timeouts=FAST, workers=1)
    reply = send(gateway)
    assert reply == "451 4.3.0" and reply.id
    assert "mailbox.example.com" not in reply.text
    assert not server.messages


@pytest.mark.parametrize("how", ["closes", "resets", "says 421", "talks nonsense", "is silent"])
@pytest.mark.parametrize("way", ["data", "lockstep"])
def test_a_server_that_fails_at_data_delivers_nothing(make_server, make_postern, way, how):
    server = make_server({"DATA": GONE[how]}, **WAYS[way])
    gateway = make_postern([server], timeouts=FAST, workers=1)
    assert send(gateway) == "451 4.3.0" if how != "is silent" else 451
    assert not server.messages


@pytest.mark.parametrize("how", ["closes", "resets", "talks nonsense", "says 354 out of place"])
@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_fails_behind_the_final_dot_leaves_the_outcome_unknown(make_server, make_postern, way, how,
                                                                             subject):
    server = make_server({"END": GONE[how]}, **WAYS[way])
    gateway = make_postern([server], workers=1)
    reply = send(gateway, subject)
    assert reply == "451 4.4.2" and reply.id
    gateway.wait_log(rf'rule="OUTCOME UNKNOWN" server={server} sid={reply.id}')
    assert subjects(server) == [subject]  # and it was not tried again


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_closes_down_instead_of_taking_the_message_defers_it(make_server, make_postern, way):
    server = make_server({"END": "421 4.3.0 Closing"}, **WAYS[way])
    gateway = make_postern([server])
    reply = send(gateway)
    assert reply == "451 4.3.0" and "OUTCOME UNKNOWN" not in gateway.log()


@pytest.mark.parametrize("behaviour", [DROP, "452 4.3.1 Full", "552 5.3.4 Too much", NONSENSE, "421 4.3.0 Closing"])
def test_a_chunk_that_fails_ends_the_message_before_its_end(make_server, make_postern, behaviour):
    server = make_server({"BDAT": behaviour})
    gateway = make_postern([server], workers=1)
    reply = send(gateway, body=b"0123456789abcde\r\n" * 1000000)  # more than socket buffers hold
    is_answer = isinstance(behaviour, str) and behaviour[0] in "45" and behaviour[:3] != "421"
    assert reply == (behaviour[:9] if is_answer else "451 4.3.0")
    assert not server.messages
    server.behave.clear()
    assert send(gateway) == 250


# ---- a server that says no

@pytest.mark.parametrize("answer", ["450 4.2.1 Over quota", "550 5.2.1 Closed", "551 5.1.6 Moved", "553 5.1.3 No"])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT"])
def test_the_servers_own_refusal_of_a_recipient_reaches_the_client(make_server, make_postern, verb, answer):
    server = make_server({verb: answer})
    gateway = make_postern([server])
    reply = send(gateway)
    assert reply == answer[:9] and answer[10:] in reply.text and reply.id
    assert not server.messages


@pytest.mark.parametrize("way", WAYS)
def test_a_message_goes_to_those_recipients_that_the_server_took(make_server, make_postern, way, subject):
    server = make_server({"RCPT": lambda moment: "550 5.2.1 Closed" if "bert" in moment.line else "OK"}, **WAYS[way])
    gateway = make_postern([server])
    with Client(gateway.address) as client:
        client.ehlo()
        client.command("MAIL FROM:<sender@client.example.net>")
        replies = [client.command(f"RCPT TO:<{name}@example.com>") for name in ("anna", "bert", "carl")]
        assert [reply.code for reply in replies] == [250, 550, 250]
        assert client.data(message(subject)) == 250
    assert subjects(server) == [subject]
    assert server.messages[0].recipients == ["anna@example.com", "carl@example.com"]


@pytest.mark.parametrize("answer", ["451 4.3.0 Not now", "554 5.6.0 Not this"])
def test_a_server_that_refuses_data_refuses_the_message(make_server, make_postern, answer):
    server = make_server({"DATA": answer}, **NO_CHUNKING)
    gateway = make_postern([server])
    assert send(gateway) == answer[:9]
    assert not server.messages


@pytest.mark.parametrize("answer", ["452 4.3.1 Full", "554 5.7.1 Spam", "552 5.2.2 Over quota"])
@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_refuses_the_message_is_believed_and_kept(make_server, make_postern, way, answer):
    server = make_server({"END": answer}, **WAYS[way])
    gateway = make_postern([server], workers=1)
    reply = send(gateway)
    assert reply == answer[:9] and answer[10:] in reply.text and reply.id
    server.behave.clear()
    assert send(gateway) == 250
    assert len(server.connections) == 1


def test_a_recipient_that_the_replay_refuses_stops_the_whole_message(make_server, make_postern):
    """Accepted at RCPT, refused when the envelope is said again: nobody may be left out in silence."""
    def refuse_later(moment):
        return "550 5.1.1 Gone" if moment.nth > 1 and "bert" in moment.line else "OK"
    server = make_server({"RCPT": refuse_later})
    gateway = make_postern([server], timeouts={"relay_hold": 0}, workers=1)
    assert send(gateway, recipients=(RECIPIENT, "bert@example.com")) == "451 4.3.0"
    assert not server.messages


# ---- time, and clients that leave

@pytest.mark.parametrize("way", WAYS)
def test_a_final_answer_later_than_the_limit_is_451_and_unknown(make_server, make_postern, way, subject):
    server = make_server({"END": HANG}, **WAYS[way])
    gateway = make_postern([server], timeouts={"final_reply_limit": "1500ms"})
    reply = send(gateway, subject)
    assert reply == "451 4.4.2"
    gateway.wait_log(rf'rule="OUTCOME UNKNOWN" .*sid={reply.id}')
    assert subjects(server) == [subject]


def test_a_final_answer_within_the_limit_is_waited_for(make_server, make_postern):
    server = make_server({"END": Delay(1)})
    gateway = make_postern([server], timeouts={**FAST, "final_reply_limit": "20s"})
    assert send(gateway) == 250


ORPHANS = {"250 2.0.0 Ok": "delivered", "554 5.7.1 No": "refused by the mailbox server", DROP: "outcome unknown"}


@pytest.mark.parametrize("then", ORPHANS)
@pytest.mark.parametrize("way", ["bdat", "data"])
def test_the_end_of_a_delivery_is_logged_when_its_client_has_left(make_server, make_postern, way, then, subject):
    gate = Gate(then)
    server = make_server({"END": gate}, **WAYS[way])
    gateway = make_postern([server])
    client = Client(gateway.address)
    client.ehlo()
    client.envelope(RECIPIENT)
    client.command("DATA")
    client.send(message(subject) + b".\r\n")
    gate.reached.wait(10)
    client.reset()
    gateway.wait_log(r"lost connection after")
    gate.open()
    gateway.wait_log(rf"{ORPHANS[then]}, client gone: server={server} .*sid=[0-9a-v]{{14}}")
    assert subjects(server) == [subject]
    server.behave.clear()
    assert send(gateway) == 250


def test_nothing_is_delivered_for_a_client_that_left_before_our_final_dot(make_server, make_postern):
    gate = Gate()
    server = make_server({"MAIL": lambda moment: gate if moment.nth == 1 else "OK"})
    gateway = make_postern([server], timeouts={"relay_hold": 0}, workers=1)
    client = Client(gateway.address)
    client.ehlo()
    client.envelope(RECIPIENT)
    client.command("DATA")
    client.send(message() + b".\r\n")
    gate.reached.wait(10)
    client.reset()
    gateway.wait_log(r"lost connection after")
    gate.open()
    assert send(gateway, "the next one") == 250
    assert subjects(server) == ["the next one"]


def test_nothing_is_delivered_for_a_client_that_left_inside_its_message(make_server, make_postern):
    server = make_server()
    gateway = make_postern([server])
    with Client(gateway.address) as client:
        client.ehlo()
        client.envelope(RECIPIENT)
        client.command("DATA")
        client.send(message()[:-4])
    gateway.wait_log(r"lost connection after DATA content")
    assert not server.messages and not server.lines("BDAT")


# ---- kept connections

def idle_server(make_server, **options):
    return make_server(idle_close_s=0.2, **options)


def wait_closed(server):
    eventually(lambda: server.connections and not server.open_connections(), "idle connections closed by the server")


@pytest.mark.parametrize("way", WAYS)
def test_idle_connections_that_the_server_closed_are_replaced_unnoticed(make_server, make_postern, way):
    server = idle_server(make_server, **WAYS[way])
    gateway = make_postern([server])
    for number in range(4):
        assert send(gateway, f"number {number}") == 250
        wait_closed(server)
    assert subjects(server) == [f"number {number}" for number in range(4)]


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_that_the_server_closed_after_rcpt_is_repaired_at_data(make_server, make_postern, way, subject):
    server = idle_server(make_server, **WAYS[way])
    gateway = make_postern([server])
    with Client(gateway.address) as client:
        client.ehlo()
        assert client.envelope(RECIPIENT, "carl@example.com") == 250
        wait_closed(server)
        assert client.data(message(subject)) == 250
    assert subjects(server) == [subject]
    assert server.messages[0].recipients == [RECIPIENT, "carl@example.com"]


def test_a_connection_that_the_server_closed_between_recipients_is_repaired(make_server, make_postern, subject):
    server = idle_server(make_server)
    gateway = make_postern([server])
    with Client(gateway.address) as client:
        client.ehlo()
        client.command("MAIL FROM:<sender@client.example.net>")
        for name in ("anna", "bert", "carl"):
            assert client.command(f"RCPT TO:<{name}@example.com>") == 250
            wait_closed(server)
        assert client.data(message(subject)) == 250
    assert subjects(server) == [subject]
    assert server.messages[0].recipients == ["anna@example.com", "bert@example.com", "carl@example.com"]


@pytest.mark.parametrize("verb", ["XFORWARD", "MAIL"])
def test_kept_connections_that_die_at_their_next_use_are_replaced_unnoticed(make_server, make_postern, verb):
    """The server closes at the first command of the second use, as one that was restarted does."""
    used = set()

    def die_when_used_before(moment):
        dies = moment.connection in used
        return DROP if dies else "OK"
    server = make_server({verb: die_when_used_before})
    server.behave["END"] = lambda moment: used.add(moment.connection) or "OK"
    gateway = make_postern([server], group={"forward_client": "xforward" if verb == "XFORWARD" else "off"}, workers=1)
    for number in range(3):
        assert send(gateway, f"number {number}") == 250
    assert subjects(server) == [f"number {number}" for number in range(3)]


def test_a_kept_connection_that_dies_after_it_has_answered_is_not_replaced(make_server, make_postern):
    server = make_server({"RCPT": lambda moment: DROP if moment.nth == 1 else "OK"})
    gateway = make_postern([server], workers=1)
    assert [send(gateway, "one"), send(gateway, "two"), send(gateway, "three")] == [250, "451 4.3.0", 250]
    assert subjects(server) == ["one", "three"]


def test_a_421_on_an_idle_connection_is_not_taken_for_an_answer(make_server, make_postern):
    """An idle server says 421 and closes; the client that comes next must not hear it."""
    gates = []

    def quit_idle(moment):
        gates.append(Gate(["421 4.4.2 Idle too long", DROP]))
        return ["250 2.0.0 Ok: queued", gates[-1]]
    server = make_server({"END": quit_idle})
    gateway = make_postern([server], workers=1)
    for number in range(3):
        assert send(gateway, f"number {number}") == 250
        eventually(lambda n=number: len(gates) == n + 1, "the message was answered")
        gates[number].open()
        eventually(lambda: not server.open_connections(), "the server hung up")
    assert subjects(server) == ["number 0", "number 1", "number 2"]


# ---- several servers

def test_the_second_server_takes_over_when_the_first_is_away(make_server, make_postern, subject):
    second = make_server()
    gateway = make_postern([f"{LOOPBACK}:{free_port()}", second])
    assert send(gateway, subject) == 250
    assert subjects(second) == [subject]


@pytest.mark.parametrize("behave", [{"CONNECT": "554 5.7.1 No"}, {"EHLO": "421 4.3.0 No"}, {"CONNECT": HANG},
                                    {"XFORWARD": "550 5.7.1 Not you"}, {"XFORWARD": "421 4.7.0 Not you"}], ids=str)
def test_a_server_that_refuses_us_before_mail_is_passed_over(make_server, make_postern, behave, subject):
    first, second = make_server(behave), make_server()
    gateway = make_postern([first, second], group={"forward_client": "xforward"}, timeouts=FAST)
    assert send(gateway, subject) == 250
    assert subjects(second) == [subject] and not first.lines("MAIL")


@pytest.mark.parametrize("behave", [{"MAIL": DROP}, {"RCPT": DROP}, {"DATA": DROP}, {"END": DROP},
                                    {"MAIL": "451 4.3.0 No"}, {"END": "452 4.3.1 No"}], ids=str)
def test_no_other_server_is_tried_after_mail(make_server, make_postern, behave):
    first, second = make_server(behave, **NO_CHUNKING), make_server()
    gateway = make_postern([first, second])
    assert send(gateway).code // 100 == 4
    assert not second.messages and not second.lines("MAIL")


def test_the_replay_goes_to_the_second_server_when_the_first_died_after_rcpt(make_server, make_postern, subject):
    first, second = make_server(), make_server()
    gateway = make_postern([first, second])
    with Client(gateway.address) as client:
        client.ehlo()
        assert client.envelope(RECIPIENT) == 250
        first.crash()
        assert client.data(message(subject)) == 250
    assert not first.messages and subjects(second) == [subject]


def test_a_server_that_does_not_take_our_connection_is_passed_over_after_server_connect(make_server, make_postern):
    """Its backlog is full, so the kernel answers nothing, as a host that is switched off does."""
    second = make_server()
    with socket.create_server((LOOPBACK, free_port()), backlog=0) as first:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(first.getsockname())
        gateway = make_postern([f"{LOOPBACK}:{first.getsockname()[1]}", second], timeouts=FAST, workers=1)
        assert send(gateway) == 250
        assert gateway.find_log(r"mailbox server .*: down: connect timed out")
        for filler in fillers:
            filler.close()
    assert len(second.messages) == 1


def test_one_connection_to_the_server_serves_twenty_senders(make_server, make_postern):
    server = make_server(max_connections=1)
    gateway = make_postern([server], workers=1, limits={"server_connections": 1})
    with Senders(gateway.address, 20, total=200) as senders:
        senders.join()
    assert len(senders.acknowledged) == 200 and not senders.refused
    assert numbers(subjects(server)) == {number: 1 for number in range(200)}
    assert len(server.connections) == 1 and server.turned_away == 0


def test_no_client_waits_for_a_server_that_is_known_to_be_dead(make_server, make_postern):
    """The first server hangs before its greeting for 2 s; only trials of our own meet it."""
    first, second = make_server({"CONNECT": HANG}), make_server()
    gateway = make_postern([first, second], timeouts={"server_greeting": "2s"}, workers=1)
    gateway.wait_log(r"mailbox server .*: down")
    tried = len(first.connections)
    for number in range(30):
        assert send(gateway, f"number {number}") == 250
    assert len(first.connections) <= tried + 1  # at most one trial, made a second later
    assert len(second.messages) == 30


def test_a_dead_server_that_comes_back_is_first_again(make_server, make_postern):
    first, second = MailServer(), make_server()
    first.crash()
    try:
        gateway = make_postern([first, second], workers=1)
        assert send(gateway, "away") == 250
        first.listen()
        gateway.wait_log(rf"mailbox server {first} .*: up again")
        assert send(gateway, "back") == 250
        assert subjects(second) == ["away"] and subjects(first) == ["back"]
    finally:
        first.stop()


def test_a_server_that_limits_connections_serves_with_those_it_took(make_server, make_postern):
    server = make_server(max_connections=1)
    gateway = make_postern([server], workers=1)
    clients = [Client(gateway.address) for _ in range(5)]
    for client in clients:
        client.ehlo()
        assert client.envelope(RECIPIENT) == 250
    for number, client in enumerate(clients):
        assert client.data(message(f"number {number}")) == 250
        client.quit()
    assert sorted(subjects(server)) == [f"number {number}" for number in range(5)]


def test_a_recipient_hears_that_the_server_is_busy_when_no_connection_comes_free(make_server, make_postern):
    gate = Gate()
    server = make_server({"END": gate})
    gateway = make_postern([server], workers=1, limits={"server_connections": 1}, timeouts={"server_wait": "300ms"})
    with Client(gateway.address) as first:
        first.ehlo()
        first.envelope(RECIPIENT)
        first.command("DATA")
        first.send(message("slow") + b".\r\n")
        gate.reached.wait(10)
        assert send(gateway) == "451 4.3.2"
        gate.open()
        assert first.reply() == 250


# ---- what a server lacks

def wait_offer(gateway, is_right):
    """Until the server was met, it counts as one that offers SIZE and 8BITMIME."""
    def offer():
        with Client(gateway.address) as client:
            client.ehlo()
            return client.extensions
    eventually(lambda: is_right(offer()), "the server's offer is passed on")


def test_a_client_that_announces_more_than_the_server_takes_hears_552_at_once(make_server, make_postern):
    server = make_server(extensions=("PIPELINING", "SIZE 5000"))
    gateway = make_postern([server], workers=1)
    wait_offer(gateway, lambda offer: offer["SIZE"] == "5000")
    with Client(gateway.address) as client:
        client.ehlo()
        assert client.envelope(RECIPIENT, parameters="SIZE=6000") == "552 5.3.4"
        client.command("RSET")
        assert client.envelope(RECIPIENT) == 250
        assert client.data(message(body=b"x" * 70 + b"\r\n" + b"0123456789abcd\r\n" * 400)) == "552 5.3.4"
        assert client.envelope(RECIPIENT, parameters="SIZE=4000") == 250
        assert client.data(message("small")) == 250
    assert subjects(server) == ["small"]


def test_a_server_without_size_is_told_none_and_gets_what_fits_our_own_limit(make_server, make_postern):
    server = make_server(without=("SIZE",))
    gateway = make_postern([server], workers=1, limits={"message_size": "100K"})
    wait_offer(gateway, lambda offer: "SIZE" not in offer)
    with Client(gateway.address) as client:
        client.ehlo()
        assert client.envelope(RECIPIENT, parameters="SIZE=50000") == 250
        assert client.data(message(body=b"0123456789abcd\r\n" * 3000)) == 250
        assert client.envelope(RECIPIENT) == 250
        assert client.data(message(body=b"0123456789abcd\r\n" * 7000)) == "552 5.3.4"
    assert len(server.messages) == 1 and "SIZE=" not in server.messages[0].mail


def test_eight_bits_go_unchanged_to_a_server_without_8bitmime(make_server, make_postern):
    server = make_server(without=("8BITMIME", "SMTPUTF8"))
    gateway = make_postern([server], workers=1)
    wait_offer(gateway, lambda offer: "8BITMIME" not in offer and "SMTPUTF8" not in offer)
    with Client(gateway.address) as client:
        client.ehlo()
        assert client.envelope(RECIPIENT, parameters="BODY=8BITMIME") == 250
        assert client.data(message(body="Grüße\r\n".encode())) == 250
    assert server.messages[0].body == "Grüße\r\n".encode()
    assert "BODY=" not in server.messages[0].mail
    gateway.wait_log(r"8-bit message sent unchanged: the server does not offer 8BITMIME sid=")


def test_an_address_beyond_ascii_is_refused_where_the_server_cannot_take_it(make_server, make_postern):
    server = make_server(without=("SMTPUTF8",))
    gateway = make_postern([server])
    with Client(gateway.address) as client:
        client.ehlo()
        assert client.envelope("jörg@example.com", parameters="SMTPUTF8").code == 550
        assert client.command("RSET") == 250
        assert client.envelope(RECIPIENT, parameters="SMTPUTF8") == "550 5.6.7"
    assert not server.lines("MAIL")


def test_smtputf8_goes_to_the_server_of_two_that_offers_it(make_server, make_postern, subject):
    first, second = make_server(without=("SMTPUTF8",)), make_server()
    gateway = make_postern([first, second], workers=1)
    wait_offer(gateway, lambda offer: "DSN" in offer)  # offered only when both were met
    with Client(gateway.address) as client:
        client.ehlo()
        assert client.envelope("jörg@example.com", parameters="SMTPUTF8") == 250
        assert client.data(message(subject)) == 250
    assert subjects(second) == [subject] and "SMTPUTF8" in second.messages[0].mail


def test_dsn_parameters_reach_a_server_that_offers_dsn_and_no_other(make_server, make_postern):
    for extensions, is_offered in ((EXTENSIONS, True), (("PIPELINING",), False)):
        server = make_server(extensions=extensions)
        gateway = make_postern([server], workers=1)
        wait_offer(gateway, lambda offer, is_offered=is_offered: ("DSN" in offer) == is_offered)
        with Client(gateway.address) as client:
            client.ehlo()
            client.command("MAIL FROM:<sender@client.example.net> RET=HDRS ENVID=QQ314159")
            parameters = "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Anna@example.com"
            assert client.command(f"RCPT TO:<anna@example.com> {parameters}") == 250
            assert client.data(message()) == 250
        seen = server.messages[0].mail + server.messages[0].rcpts[0]
        for parameter in ("RET=HDRS", "ENVID=QQ314159", "NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;Anna@example.com"):
            assert (parameter in seen) == is_offered
        assert bool(gateway.find_log(r"DSN parameters dropped: .*sid=")) != is_offered


# ---- who the client is

def test_xforward_names_the_client_of_each_mail_on_one_connection(make_server, make_postern):
    server = make_server(extensions=("PIPELINING", "XFORWARD NAME ADDR PORT HELO PROTO IDENT SOURCE"))
    gateway = make_postern([server], group={"forward_client": "xforward"}, workers=1)
    for number in range(1, 4):
        assert send(gateway, f"number {number}", source=f"127.0.9.{number}", helo=f"client{number}.example.net") == 250
    connection = server.connections[0]
    assert len(server.messages) == 3 and len(server.connections) == 1
    envelope = [line for line in connection.lines if line.startswith(("XFORWARD", "MAIL"))]
    assert len(envelope) == 9
    for number in range(1, 4):
        about_client, about_session, mail = envelope[3 * number - 3:3 * number]
        assert f"ADDR=127.0.9.{number}" in about_client and "PORT=" in about_client
        assert "NAME=[UNAVAILABLE]" in about_client
        assert f"HELO=client{number}.example.net" in about_session and "PROTO=ESMTP" in about_session
        assert "IDENT=" in about_session and "SOURCE=REMOTE" in about_session
        assert mail.startswith("MAIL FROM:<sender@client.example.net>")


def test_xforward_is_said_anew_when_the_envelope_is_replayed(make_server, make_postern):
    server = make_server()
    gateway = make_postern([server], group={"forward_client": "xforward"}, timeouts={"relay_hold": 0}, workers=1)
    with Client(gateway.address, source="127.0.9.1") as one, Client(gateway.address, source="127.0.9.2") as two:
        for client in (one, two):
            client.ehlo()
            assert client.envelope(RECIPIENT) == 250
        for client in (one, two):
            assert client.data(message()) == 250
    where = "127.0.0.0"
    seen = []
    for line in server.connections[0].lines:
        if line.startswith("XFORWARD") and "ADDR=" in line:
            where = line.split("ADDR=")[1].split(" ")[0]
        elif line.startswith("MAIL"):
            seen.append(where)
    assert seen == ["127.0.9.1", "127.0.9.2", "127.0.9.1", "127.0.9.2"]


def test_xclient_changes_the_client_before_each_mail(make_server, make_postern):
    server = make_server(extensions=("PIPELINING", "8BITMIME", "XCLIENT NAME ADDR PORT HELO PROTO"))
    gateway = make_postern([server], group={"forward_client": "xclient"}, workers=1)
    for number in range(1, 4):
        assert send(gateway, f"number {number}", source=f"127.0.9.{number}", helo=f"client{number}.example.net") == 250
    verbs = [line.split(" ")[0] for line in server.connections[0].lines]
    said = server.lines("XCLIENT")
    assert verbs.count("EHLO") == 4  # the first, and one behind each XCLIENT
    for number, line in enumerate(said, 1):
        assert f"ADDR=127.0.9.{number}" in line and f"HELO=client{number}.example.net" in line
    assert len(said) == len(server.messages) == 3


@pytest.mark.parametrize("forward", ["xforward", "xclient"])
def test_a_server_that_does_not_offer_it_is_told_nothing_and_gets_the_mail(make_server, make_postern, forward):
    server = make_server(extensions=("PIPELINING",))
    gateway = make_postern([server], group={"forward_client": forward})
    assert send(gateway) == 250
    assert not server.lines("X")
    gateway.wait_log(rf"the server does not hear of the client's address: no {forward.upper()} sid=")


def test_a_client_never_hears_the_names_of_inner_hosts(make_server, make_postern):
    server = make_server({"RCPT": "550 5.2.1 mailbox.example.com [127.0.0.1] says no", "CONNECT": GREETING})
    gateway = make_postern([server])
    reply = send(gateway)
    assert reply == "550 5.2.1"
    assert "mailbox.example.com" not in reply.text and "127.0.0.1" not in reply.text


def test_a_session_goes_on_after_each_kind_of_trouble(make_server, make_postern):
    """One session, ten messages, each meeting another trouble; what is answered 250 is what arrived."""
    troubles = ["OK", "550 5.7.1 No", DROP, "OK", "451 4.3.0 No", NONSENSE, "552 5.2.2 Full", "OK", RESET, "OK"]
    server = make_server({"END": lambda moment: troubles[moment.nth]})
    gateway = make_postern([server], workers=1)
    taken = []
    with Client(gateway.address) as client:
        client.ehlo()
        for number in range(len(troubles)):
            assert client.envelope(RECIPIENT) == 250
            if client.data(message(f"number {number}")) == 250:
                taken.append(f"number {number}")
        assert client.quit() == 221
    assert taken == ["number 0", "number 3", "number 7", "number 9"]
    assert sorted(subjects(server)) == sorted(f"number {number}" for number in range(len(troubles)))
    with pytest.raises((Closed, OSError)):
        client.reply()
