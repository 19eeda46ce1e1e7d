#!/usr/bin/python3
"""canned_scanners: a clamd and a spamd that read a message and find nothing, at once, for the bench; or, with --hang,
that never answer about one.

    canned_scanners.py [--hang] CLAMD_PORT SPAMD_PORT

What they cost is not the gateway's, and is not counted. A trial of the gateway's (its subject says so, and PING) is
answered in any case, so that hanging scanners are not found out before mail is.
"""
import asyncio
import re
import sys

TRIAL = b"Subject: does the scanner work?"


async def clamd(reader, writer, hangs):
    try:
        number = 0
        while True:
            command = await reader.readuntil(b"\0")
            if command in (b"zIDSESSION\0", b"zEND\0"):
                continue
            number += 1
            is_trial, is_first = False, True
            if command == b"zINSTREAM\0":
                while length := int.from_bytes(await reader.readexactly(4), "big"):
                    piece = await reader.readexactly(length)
                    is_trial, is_first = is_trial or (is_first and piece.startswith(TRIAL)), False
                if hangs and not is_trial:
                    await asyncio.sleep(3600)
            writer.write(b"%d: stream: OK\0" % number)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def spamd(reader, writer, hangs):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"PING"):
            writer.write(b"SPAMD/1.5 0 PONG\r\n")
        else:
            await reader.readexactly(int(re.search(rb"Content-length: (\d+)", head)[1]))
            if hangs:
                await asyncio.sleep(3600)
            writer.write(b"SPAMD/1.1 0 EX_OK\r\nContent-length: 6\r\nSpam: False ; 0.1 / 5.0\r\n\r\nNONE\r\n")
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def main(ports, hangs):
    servers = [await asyncio.start_server(lambda reader, writer, serve=serve: serve(reader, writer, hangs), "127.0.0.1",
                                          port, limit=1 << 22, backlog=512)
               for serve, port in zip((clamd, spamd), ports)]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--hang"]
    asyncio.run(main([int(word) for word in words], "--hang" in sys.argv))
