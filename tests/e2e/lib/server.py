"""A mailbox server that behaves as a test says, and records every byte.

    server = MailServer(behave={"RCPT": "450 4.2.1 Full", "END": DROP}, extensions=["8BITMIME"], idle_close_s=2,
    max_connections=20)

`behave` says what happens at a moment: CONNECT, a verb, or END (the message is complete: the lone dot, or the chunk
with LAST). Without it, the answer is the ordinary one. A behaviour is
    a string            that reply (CRLF is added)
    bytes               exactly these, whatever they are
    DROP, RESET         the connection closes, or is reset
    HANG                nothing, until the peer goes or the server stops
    Delay(s, b)         b after s seconds
    OK                  the ordinary answer
    a list              one after the other: ["250 2.0.0 Ok", DROP]
    a Gate              waits until the test opens it, then does what the gate says
    a function          called with a Moment, returns any of these
Times: Moment.connection counts from 0; Moment.nth is how often this moment came before, over all connections.

Recorded are, for each connection, everything received (after decryption), and each message that was complete,
whatever it was answered.
"""
import re
import select
import socket
import ssl
import struct
import threading
import time

from lib.ports import LOOPBACK, free_port
from lib.wait import eventually

DROP, RESET, HANG, OK = "DROP", "RESET", "HANG", "OK"
STEP_S = 0.02
EXTENSIONS = ("PIPELINING", "SIZE 100000000", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES",
              "XFORWARD NAME ADDR PORT HELO")
GREETING = "220 mailbox.example.com ESMTP"
ORDINARY = {"MAIL": "250 2.1.0 Ok", "RCPT": "250 2.1.5 Ok", "DATA": "354 Go on", "END": "250 2.0.0 Ok: queued",
            "BDAT": "250 2.0.0 Chunk", "RSET": "250 2.0.0 Ok", "NOOP": "250 2.0.0 Ok", "QUIT": "221 2.0.0 Bye",
            "XFORWARD": "250 2.0.0 Ok", "XCLIENT": GREETING, "VRFY": "252 2.0.0 Perhaps",
            "STARTTLS": "220 2.0.0 Go on"}


class Delay:
    def __init__(self, seconds, then=OK):
        self.seconds, self.then = seconds, then


class Gate:
    """Holds back what comes `then` until the test calls open(); `reached` says that somebody waits there."""

    def __init__(self, then=OK):
        self.then = then
        self.opened, self.reached = threading.Event(), threading.Event()

    def open(self):
        self.opened.set()


class Moment:
    def __init__(self, name, line, connection, nth):
        self.name, self.line, self.connection, self.nth = name, line, connection, nth


class Message:
    """`content` is the text with dots unstuffed and the end taken off; `raw` the bytes as they came (behind 354, the
    lone dot included; or the chunks). `answer` is the last reply that was sent for it, '' when there was none.
    `forwarded` are the XFORWARD and XCLIENT lines since the message before."""

    def __init__(self, mail, rcpts, way):
        self.mail, self.rcpts, self.way = mail, list(rcpts), way
        self.raw = b""
        self.content = b""
        self.answer = ""
        self.forwarded = ""

    @property
    def sender(self):
        return address_in(self.mail)

    @property
    def recipients(self):
        return [address_in(line) for line in self.rcpts]

    @property
    def body(self):
        return self.content.partition(b"\r\n\r\n")[2]

    def header(self, name):
        """The unfolded value of the first field of that name, or None."""
        head = re.sub(r"\r\n[ \t]+", " ", self.content.partition(b"\r\n\r\n")[0].decode("utf-8", "replace"))
        found = re.search(rf"(?im)^{re.escape(name)}:[ \t]*(.*?)\r?$", head)
        return found[1] if found else None


def address_in(line):
    found = re.search(r"<([^>]*)>", line)
    return found[1] if found else ""


def is_readable(sock):
    """Within STEP_S. Not by select(), which knows no descriptor above 1023."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(STEP_S * 1000))


class Gone(Exception):
    """The connection is over."""


class Connection(threading.Thread):
    def __init__(self, server, number, sock):
        super().__init__(daemon=True)
        self.server, self.number, self.socket = server, number, sock
        self.received = bytearray()
        self.lines = []
        self.sent = bytearray()
        self.is_over = False
        self.is_tls = False
        self.server_name = None
        self.unread = b""
        self.forwarded = ""
        self.reset_envelope()

    def reset_envelope(self):
        self.mail, self.rcpts, self.message = None, [], None

    # ---- bytes

    def read(self):
        """More bytes, in `unread`. Gone when the peer closed, the server stops, or the peer was idle too long."""
        began = time.monotonic()
        while not (self.is_tls and self.socket.pending()) and not is_readable(self.socket):
            if self.server.is_stopping:
                raise Gone
            limit = self.server.idle_close_s
            if limit is not None and time.monotonic() - began > limit:
                raise Gone
        try:
            more = self.socket.recv(262144)
        except (ssl.SSLWantReadError, BlockingIOError):
            return
        if not more:
            raise Gone
        self.received += more
        self.unread += more

    def line(self):
        while b"\r\n" not in self.unread:
            self.read()
        line, self.unread = self.unread.split(b"\r\n", 1)
        return line.decode("utf-8", "surrogateescape")

    def write(self, data):
        self.sent += data
        self.socket.sendall(data)

    # ---- behaviour

    def act(self, name, line="", ordinary=None):
        """Does what is to be done at this moment. Returns the last reply sent, '' when none was."""
        moment = Moment(name, line, self.number, self.server.count(name))
        ordinary = ordinary or ORDINARY.get(name, "500 5.5.1 What?")
        return self.carry_out(self.server.behave.get(name, OK), moment, ordinary)

    def carry_out(self, behaviour, moment, ordinary):
        if callable(behaviour):
            return self.carry_out(behaviour(moment), moment, ordinary)
        if isinstance(behaviour, list):
            reply = ""
            for one in behaviour:
                reply = self.carry_out(one, moment, ordinary)
            return reply
        if isinstance(behaviour, Delay):
            self.pause(lambda end=time.monotonic() + behaviour.seconds: time.monotonic() >= end)
            return self.carry_out(behaviour.then, moment, ordinary)
        if isinstance(behaviour, Gate):
            behaviour.reached.set()
            self.pause(behaviour.opened.is_set)
            return self.carry_out(behaviour.then, moment, ordinary)
        if behaviour is HANG:
            self.pause(lambda: False)
        if behaviour is DROP:
            raise Gone
        if behaviour is RESET:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise Gone
        reply = ordinary if behaviour is OK else behaviour
        self.write(reply if isinstance(reply, bytes) else reply.encode() + b"\r\n")
        return reply if isinstance(reply, str) else reply.decode("latin-1")

    def pause(self, is_done):
        """Waits as a server that is busy: the peer may leave meanwhile."""
        while not is_done():
            if self.server.is_stopping:
                raise Gone
            if is_readable(self.socket) and not self.is_tls:
                if not self.socket.recv(1, socket.MSG_PEEK):
                    raise Gone
                time.sleep(STEP_S)  # pipelined bytes are there: do not spin

    # ---- the dialogue

    def run(self):
        try:
            self.act("CONNECT", ordinary=GREETING)
            while True:
                line = self.line()
                self.lines.append(line)
                self.serve(line)
        except (Gone, OSError, ssl.SSLError):
            pass
        finally:
            self.is_over = True
            self.socket.close()

    def serve(self, line):
        verb = line.split(" ")[0].upper()
        if verb in ("EHLO", "HELO"):
            self.reset_envelope()
            names = [name for name in self.server.extensions if not (name == "STARTTLS" and self.is_tls)]
            names = ["mailbox.example.com", *(names if verb == "EHLO" else [])]
            lines = ["250-" + name for name in names[:-1]] + ["250 " + names[-1]]
            self.act(verb, line, "\r\n".join(lines))
        elif verb == "DATA":
            if self.act(verb, line).startswith("354"):
                self.take_data()
        elif verb == "BDAT":
            self.take_chunk(line)
        else:
            reply = self.act(verb, line)
            self.after(verb, line, reply)

    def after(self, verb, line, reply):
        if verb == "QUIT":
            raise Gone
        if verb == "STARTTLS" and reply.startswith("220"):
            self.unread = b""
            self.start_tls()
        if verb == "RSET":
            self.reset_envelope()
        if verb in ("XFORWARD", "XCLIENT"):
            self.forwarded += ("\n" if self.forwarded else "") + line
        if verb == "MAIL" and reply.startswith("2"):
            self.reset_envelope()
            self.mail = line
        if verb == "RCPT" and reply.startswith("2"):
            self.rcpts.append(line)

    def start_tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server.certificate.chain, self.server.certificate.key)

        def note_name(_socket, name, _context):
            self.server_name = name
        context.sni_callback = note_name
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.is_tls = True

    def begin_message(self, way):
        self.message = Message(self.mail or "", self.rcpts, way)
        self.message.forwarded, self.forwarded = self.forwarded, ""

    def take_data(self):
        self.begin_message("DATA")
        while not (self.unread.startswith(b".\r\n") or b"\r\n.\r\n" in self.unread):
            self.read()
        end = 3 if self.unread.startswith(b".\r\n") else self.unread.index(b"\r\n.\r\n") + 5
        self.message.raw, self.unread = self.unread[:end], self.unread[end:]
        text = re.sub(rb"(?m)^\.", b"", self.message.raw[:-3])
        self.message.content = text
        self.complete()

    def take_chunk(self, line):
        words = line.split(" ")
        size, is_last = int(words[1]), len(words) > 2 and words[2].upper() == "LAST"
        while len(self.unread) < size:
            self.read()
        if self.message is None:
            self.begin_message("BDAT")
        self.message.raw += self.unread[:size]
        self.unread = self.unread[size:]
        if is_last:
            self.message.content = self.message.raw
            self.complete()
        else:
            self.act("BDAT", line)

    def complete(self):
        message = self.message
        self.server.messages.append(message)
        self.reset_envelope()
        message.answer = self.act("END")


class MailServer:
    """Listens at once. `tls` is a Certificate: STARTTLS is offered then. Over `max_connections` a connection is
    answered 421 and closed."""

    def __init__(self, behave=None, extensions=EXTENSIONS, idle_close_s=None, max_connections=None, tls=None,
                 port=None, without=()):
        self.behave = dict(behave or {})
        self.extensions = [name for name in extensions if name.split(" ")[0] not in without]
        self.certificate = tls
        if tls:
            self.extensions.append("STARTTLS")
        self.idle_close_s = idle_close_s
        self.max_connections = max_connections
        self.port = port or free_port()
        self.address = (LOOPBACK, self.port)
        self.connections = []
        self.messages = []
        self.turned_away = 0
        self.counts = {}
        self.lock = threading.Lock()
        self.is_stopping = False
        self.listener = None
        self.listen()

    def __str__(self):
        """What option `server` of postern.conf wants."""
        return f"{LOOPBACK}:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def count(self, name):
        with self.lock:
            self.counts[name] = self.counts.get(name, -1) + 1
            return self.counts[name]

    # ---- life

    def listen(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(self.address)
        self.listener.listen(512)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.max_connections is not None and len(self.open_connections()) >= self.max_connections:
                self.turned_away += 1
                try:
                    sock.sendall(b"421 4.3.2 Too many connections\r\n")
                except OSError:
                    pass
                sock.close()
                continue
            connection = Connection(self, len(self.connections), sock)
            self.connections.append(connection)
            connection.start()

    def refuse(self):
        """From now on nobody listens there; open connections stay."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def crash(self):
        """As after kill -9: nobody listens, and every connection is reset. listen() brings it back."""
        self.refuse()
        for connection in self.open_connections():
            try:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for connection in [connection for connection in self.connections if connection.ident]:
            connection.join(timeout=5)

    def stop(self):
        self.is_stopping = True
        self.refuse()
        for connection in [connection for connection in self.connections if connection.ident]:
            connection.join(timeout=5)

    # ---- what it saw

    def open_connections(self):
        return [connection for connection in self.connections if not connection.is_over]

    def wait_messages(self, n=1):
        eventually(lambda: len(self.messages) >= n, f"{n} messages at the mailbox server")
        return self.messages

    def lines(self, verb=None):
        """All command lines of all connections, or those of a verb."""
        lines = [line for connection in self.connections for line in connection.lines]
        return [line for line in lines if verb is None or line.upper().startswith(verb)]
