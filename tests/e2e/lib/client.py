"""A raw SMTP client: exact bytes out, parsed replies in. From any 127.x.y.z, behind a PROXY header, over TLS, or
stalled at will."""
import ipaddress
import re
import socket
import ssl
import struct

TIMEOUT_S = 60
ID = re.compile(r"\[([0-9a-v]{14}(?:\.\d+)?)\]")


class Reply:
    """One reply. `id` is the id it shows, '' when it shows none."""

    def __init__(self, lines):
        self.lines = [line.decode("utf-8", "replace") for line in lines]
        self.code = int(self.lines[-1][:3])
        self.text = "\n".join(line[4:] for line in self.lines)
        enhanced = re.match(r"[245]\.\d{1,3}\.\d{1,3}\b", self.lines[-1][4:])
        self.enhanced = enhanced[0] if enhanced else ""
        found = ID.search(self.text)
        self.id = found[1] if found else ""

    def __repr__(self):
        return f"<{self.code} {self.text!r}>"

    def __eq__(self, other):
        """Equal to a code (550), or to code and enhanced code ("550 5.1.1")."""
        return other == (self.code if isinstance(other, int) else f"{self.code} {self.enhanced}")

    __hash__ = None


class Closed(Exception):
    """The server closed the connection where a reply was expected."""


class Client:
    """`source` is the address to connect from; `first` is sent before anything is read (a PROXY header, say). Unless
    `greeted` is false the greeting is read at once, into `greeting`."""

    def __init__(self, address, source=None, first=b"", greeted=True, timeout=TIMEOUT_S):
        self.socket = socket.create_connection(address, timeout=timeout, source_address=(source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread = b""
        self.extensions = {}
        self.greeting = None
        if first:
            self.send(first)
        if greeted:
            self.greeting = self.reply()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes with a RST, as a client that crashed does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def line(self):
        while b"\n" not in self.unread:
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                raise Closed(self.unread)
            self.unread += more
        line, self.unread = self.unread.split(b"\n", 1)
        return line.rstrip(b"\r")

    def reply(self):
        lines = [self.line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.line())
        return Reply(lines)

    def command(self, line):
        self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.reply()

    def is_closed(self, within=TIMEOUT_S):
        """True when the server closes within that time. What it still says is dropped."""
        self.socket.settimeout(within)
        try:
            while self.socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    # ---- steps of a session; each asserts nothing

    def ehlo(self, name="client.example.net"):
        reply = self.command(f"EHLO {name}")
        self.extensions = dict((line[4:].split(" ", 1) + [""])[:2] for line in reply.lines[1:])
        return reply

    def starttls(self, server_name=None, authority=None, behind=b"", **context):
        """STARTTLS and the handshake; any certificate is taken unless `authority` is given. `behind` is sent in the
        same packet as the command. Further keywords are set
        on the context."""
        self.send(b"STARTTLS\r\n" + behind)
        reply = self.reply()
        if reply.code != 220:
            return reply
        tls = ssl.create_default_context(cafile=authority) if authority else ssl._create_unverified_context()
        for name, value in context.items():
            setattr(tls, name, value)
        self.socket = tls.wrap_socket(self.socket, server_hostname=server_name)
        self.unread = b""
        return reply

    def envelope(self, *recipients, sender="sender@client.example.net", parameters=""):
        """MAIL and RCPTs. Returns the reply of the last one, or the first that is not a 2xx."""
        reply = self.command(f"MAIL FROM:<{sender}>{parameters and ' ' + parameters}")
        for recipient in recipients:
            if reply.code // 100 != 2:
                return reply
            reply = self.command(f"RCPT TO:<{recipient}>")
        return reply

    def data(self, message):
        """DATA with `message` (CRLF line ends), dot-stuffed here. Returns the final reply, or that to DATA."""
        reply = self.command("DATA")
        if reply.code != 354:
            return reply
        self.send(re.sub(rb"(?m)^\.", b"..", message) + (b"" if message.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        return self.reply()

    def bdat(self, *chunks):
        """One BDAT a chunk, the last one LAST. Returns the last reply, or the first that is not a 2xx."""
        for number, chunk in enumerate(chunks, 1):
            self.send(f"BDAT {len(chunk)}{' LAST' if number == len(chunks) else ''}\r\n".encode() + chunk)
            reply = self.reply()
            if reply.code // 100 != 2:
                break
        return reply

    def quit(self):
        reply = self.command("QUIT")
        self.close()
        return reply


def message(subject="hello", body=b"Hello.\r\n", **headers):
    """A whole message with CRLF line ends. Header names in keywords are written with _ for -."""
    lines = [b"From: sender@client.example.net", b"Subject: " + subject.encode()]
    lines += [f"{name.replace('_', '-')}: {value}".encode() for name, value in headers.items()]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def proxy_v1(client, server=None, port=40000, server_port=25):
    is_ipv4 = ipaddress.ip_address(client).version == 4
    family, server = "TCP4" if is_ipv4 else "TCP6", server or ("192.0.2.1" if is_ipv4 else "2001:db8::1")
    return f"PROXY {family} {client} {server} {port} {server_port}\r\n".encode()


PROXY_V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def proxy_v2(client, server=None, port=40000, server_port=25, local=False, extra=b""):
    """`extra` are TLVs behind the addresses."""
    client = ipaddress.ip_address(client)
    server = ipaddress.ip_address(server or ("192.0.2.1" if client.version == 4 else "2001:db8::1"))
    addresses = client.packed + server.packed + struct.pack("!HH", port, server_port) + extra
    family = 0x11 if client.version == 4 else 0x21
    return PROXY_V2_SIGNATURE + struct.pack("!BBH", 0x20 if local else 0x21, family, len(addresses)) + addresses
