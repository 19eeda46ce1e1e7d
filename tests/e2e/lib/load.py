"""Many clients at once: those that stand still at a step, and those that deliver numbered messages and remember what
they were told."""
import collections
import itertools
import re
import resource
import selectors
import socket
import threading
import time

from lib.client import Client, Closed, message

RECIPIENT = "anna@example.com"
OPENING_MAX = 100  # that are on their way to the step where they stand
HELLO = [(b"", b"220"), (b"EHLO stalled.example.net\r\n", b"250")]
ENVELOPE = [(b"MAIL FROM:<stalled@client.example.net>\r\n", b"250"),
            (b"RCPT TO:<" + RECIPIENT.encode() + b">\r\n", b"250")]
AFTER_HELLO = HELLO
AFTER_RCPT = HELLO + ENVELOPE
INSIDE_DATA = [*HELLO, *ENVELOPE, (b"DATA\r\n", b"354"), (b"Subject: half a mess", None)]


def allow_files(n):
    """Raises the limit of open descriptors. Returns whether that many are allowed now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < n:
        if hard != resource.RLIM_INFINITY and hard < n:
            return False
        resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))
    return True


def source(number, net=20):
    """The number-th address of 127.net.0.0/16; neighbours are in networks of their own."""
    return f"127.{net}.{number % 250}.{number // 250 + 1}"


class Stander:
    def __init__(self, number, steps):
        self.number, self.steps = number, list(steps)
        self.step = 0
        self.is_sent = False
        self.received = b""
        self.is_closed = False
        self.socket = socket.socket()
        self.socket.setblocking(False)


class Crowd:
    """n clients, each from an address of its own, that take the steps (bytes to send, what the reply begins with; None:
    no reply) and then stand. `step_lists` are given out in turn."""

    def __init__(self, address, n, *step_lists, net=20):
        self.address, self.net = address, net
        self.members = [Stander(number, step_lists[number % len(step_lists)]) for number in range(n)]
        self.selector = selectors.DefaultSelector()
        self.unexpected = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.selector.close()
        for member in self.members:
            member.socket.close()

    def stand(self, within=30):
        """Returns self when all stand. Fails when one got another reply, or not all stood in time."""
        waiting, moving = collections.deque(self.members), 0
        end = time.monotonic() + within
        while waiting or moving:
            while waiting and moving < OPENING_MAX:
                self.open(waiting.popleft())
                moving += 1
            for key, _ in self.selector.select(1):
                moving -= self.move(key.data)
            assert not self.unexpected, f"{len(self.unexpected)} got another reply, the first: {self.unexpected[0]}"
            assert time.monotonic() < end, f"{len(waiting)} wait and {moving} are on their way after {within} s"
        return self

    def open(self, member):
        member.socket.bind((source(member.number, self.net), 0))
        member.socket.connect_ex(self.address)
        self.selector.register(member.socket, selectors.EVENT_READ, member)

    def move(self, member):
        """Returns whether it stands now, or is out."""
        if not self.read(member):
            self.unexpected.append((member.number, member.step, b"closed"))
            return self.leave(member)
        lines = member.received.split(b"\r\n")
        while len(lines) > 1 and member.step < len(member.steps):
            line = lines.pop(0)
            member.received = b"\r\n".join(lines)
            if line[3:4] == b"-":
                continue
            if not line.startswith(member.steps[member.step][1]):
                self.unexpected.append((member.number, member.step, line))
                return self.leave(member)
            member.step += 1
            if member.step < len(member.steps):
                member.socket.send(member.steps[member.step][0])
                if member.steps[member.step][1] is None:
                    member.step += 1
        return member.step == len(member.steps) and self.leave(member)

    def leave(self, member):
        self.selector.unregister(member.socket)
        return True

    def read(self, member):
        """Takes what is there. False when the server has closed."""
        try:
            while more := member.socket.recv(65536):
                member.received += more
        except BlockingIOError:
            return True
        except OSError:
            pass
        member.is_closed = True
        return False

    def look(self):
        """Reads what those who stand were told meanwhile. Returns those whom the server left."""
        for member in self.members:
            if not member.is_closed:
                self.read(member)
        return [member for member in self.members if member.is_closed]

    def all_heard(self):
        """Whether each was told something, or was left, whichever step it is at."""
        self.look()
        return all(member.received or member.is_closed for member in self.members)


class Senders:
    """n threads that deliver messages with the Subjects "number 0", "number 1" …, each again until it was taken.

    `acknowledged` are the numbers whose sender saw 250; `uncertain` counts for a number how often its sender does not
    know what became of it: the end of the message was sent, and no answer came, or one that says so (451 4.4.2)."""

    def __init__(self, address, n, total=None, body=b"Hello.\r\n", a_session=3, net=30):
        self.address, self.body, self.a_session, self.net = address, body, a_session, net
        self.numbers = iter(range(total)) if total is not None else itertools.count()
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.acknowledged = []
        self.uncertain = collections.Counter()
        self.refused = collections.Counter()  # by reply
        self.took_s = []
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(n)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        self.join()

    def join(self, within=60):
        end = time.monotonic() + within
        for thread in self.threads:
            thread.join(max(0, end - time.monotonic()))
        assert not any(thread.is_alive() for thread in self.threads), "a sender hangs"

    def run(self, index):
        client, left = None, 0
        while not self.stopping.is_set():
            with self.lock:
                number = next(self.numbers, None)
            if number is None:
                break
            began = time.monotonic()
            while not self.stopping.is_set():
                if left == 0 and client:
                    self.leave(client)
                    client = None
                client, left, is_done = self.attempt(client, left, number, index)
                if is_done:
                    break
                self.stopping.wait(0.02)
            self.took_s.append(time.monotonic() - began)
        if client:
            self.leave(client)

    def leave(self, client):
        try:
            client.quit()
        except (Closed, OSError):
            client.close()

    def attempt(self, client, left, number, index):
        """Returns (client or None, messages left in its session, whether the message was acknowledged)."""
        is_out = False
        try:
            if client is None:
                client, left = Client(self.address, source=source(index, self.net)), self.a_session
                client.ehlo()
            reply = client.envelope(RECIPIENT)
            if reply.code == 250:
                reply = client.command("DATA")
            if reply.code == 354:
                client.send(re.sub(rb"(?m)^\.", b"..", message(f"number {number}", self.body)) + b".")
                is_out = True
                client.send(b"\r\n")
                reply = client.reply()
        except (Closed, OSError) as error:
            self.uncertain[number] += is_out
            self.refused[type(error).__name__] += 1
            if client:
                client.close()
            return None, 0, False
        if reply.code == 250:
            self.acknowledged.append(number)
            return client, left - 1, True
        self.uncertain[number] += reply == "451 4.4.2"
        self.refused[str(reply.code) + " " + reply.enhanced] += 1
        self.leave(client)
        return None, 0, False

    def answers(self):
        return len(self.acknowledged) + sum(self.refused.values())

    # ---- the account

    def missing(self, arrived):
        """Acknowledged numbers that are not in the Counter of what arrived."""
        return [number for number in self.acknowledged if not arrived[number]]

    def unexplained(self, arrived):
        """Numbers that arrived more often than their senders' doubts explain."""
        acknowledged = set(self.acknowledged)
        return {number: n for number, n in arrived.items() if n > (number in acknowledged) + self.uncertain[number]}

    def account(self, arrived):
        """One line for people."""
        duplicates = sum(n - 1 for n in arrived.values())
        return (f"{len(self.acknowledged)} acknowledged, {len(arrived)} arrived, {duplicates} duplicates, "
                f"{sum(self.uncertain.values())} uncertain, not taken: {dict(self.refused)}")


def numbers(subjects):
    """A Counter of the numbers in Subjects; others are left out."""
    found = (re.fullmatch(r"number (\d+)", subject or "") for subject in subjects)
    return collections.Counter(int(match[1]) for match in found if match)


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))]
