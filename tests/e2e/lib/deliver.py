"""Short ways to send one message through a gateway, for tests whose point lies elsewhere."""
from lib.client import Client, Closed, message
from lib.wait import eventually

RECIPIENT = "anna@example.com"


def send(gateway, subject="hello", recipients=(RECIPIENT,), body=b"Hello.\r\n", parameters="", chunks=0, source=None,
         helo="client.example.net"):
    """One message in a session of its own, by DATA, or by BDAT in that many chunks. Returns the first reply that is
    not a 2xx, else the final one."""
    with Client(gateway.address, source=source) as client:
        client.ehlo(helo)
        reply = client.envelope(*recipients, parameters=parameters)
        if reply.code // 100 != 2:
            return reply
        text = message(subject, body)
        if not chunks:
            return client.data(text)
        size = len(text) // chunks + 1
        return client.bdat(*(text[at:at + size] for at in range(0, len(text), size)))


def send_until_taken(gateway, subject="hello", within=15, **options):
    """Tries again while the answer is a 4xx or none. Returns the final reply."""
    def is_answered():
        try:
            reply = send(gateway, subject, **options)
        except (Closed, OSError):
            return None
        return reply if reply.code // 100 != 4 else None
    return eventually(is_answered, f"message {subject!r} taken or refused for good", within)


def subjects(server):
    """Those of all messages that were complete at a MailServer, whatever it answered."""
    return [arrived.header("Subject") for arrived in server.messages]
