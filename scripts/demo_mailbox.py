#!/usr/bin/python3
"""A small mailbox server for `make run`: takes mail by SMTP on loopback and files it in a Maildir. Every recipient is a
mailbox to it; which ones exist is for the gateway in front to say.

    demo_mailbox.py HOST:PORT MAILDIR
"""
import asyncio
import mailbox
import os
import signal
import sys

from aiosmtpd.smtp import SMTP


class MaildirHandler:
    def __init__(self, path):
        self.maildir = mailbox.Maildir(path, create=True)

    async def handle_DATA(self, server, session, envelope):
        head = f"Return-Path: <{envelope.mail_from}>\r\n"
        head += "".join(f"Delivered-To: {to}\r\n" for to in envelope.rcpt_tos)
        # Maildir files have the line ends of the system.
        message = (head.encode("utf-8", "surrogateescape") + envelope.original_content).replace(b"\r\n", b"\n")
        key = self.maildir.add(message)
        path = os.path.relpath(os.path.join(self.maildir._path, "new", key))
        print(f"mailbox: from <{envelope.mail_from}> for {', '.join(envelope.rcpt_tos)}: {path}", flush=True)
        return f"250 2.0.0 Filed as {key.split('.')[1]}"


async def serve(host, port, path):
    loop = asyncio.get_running_loop()
    handler = MaildirHandler(path)
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="mailbox.example.com", ident="Demo mailbox server", enable_SMTPUTF8=True,
                     data_size_limit=50 * 1024 * 1024, timeout=300, loop=loop), host, port)
    stop = loop.create_future()
    for signo in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signo, lambda: stop.done() or stop.set_result(None))
    await stop
    server.close()


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    host, port = sys.argv[1].rsplit(":", 1)
    os.makedirs(os.path.dirname(os.path.abspath(sys.argv[2])), exist_ok=True)
    asyncio.run(serve(host, int(port), sys.argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
