"""A mailbox server in a process of its own, so that it can be killed: it writes down the Subject of each message before
it says 250, and what it wrote outlives it. The listening socket is its parent's; a next one goes on with it.

    python3 recorder.py LISTENING_FD FILE
"""
import os
import re
import socket
import sys
import threading

EHLO = b"250-recorder.example.com\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 CHUNKING\r\n"
ANSWERS = {b"MAIL": b"250 2.1.0 Ok\r\n", b"RCPT": b"250 2.1.5 Ok\r\n", b"RSET": b"250 2.0.0 Ok\r\n",
           b"QUIT": b"221 2.0.0 Bye\r\n"}


def serve(sock, file):
    try:
        dialogue(sock, sock.makefile("rb"), file)
    except OSError:
        pass
    sock.close()


def dialogue(sock, stream, file):
    text = b""
    sock.sendall(b"220 recorder.example.com ESMTP\r\n")
    for line in stream:
        words = line.split()
        verb = words[0].upper()
        if verb == b"EHLO":
            answer = EHLO
        elif verb == b"BDAT":
            text += stream.read(int(words[1]))
            answer = b"250 2.0.0 Chunk\r\n"
            if len(words) > 2:
                answer, text = record(file, text), b""
        else:
            answer = ANSWERS.get(verb, b"500 5.5.1 What?\r\n")
        sock.sendall(answer)


def record(file, text):
    subject = re.search(rb"(?m)^Subject: (.*?)\r$", text)
    os.write(file, subject[1] + b"\n")
    return b"250 2.0.0 Ok\r\n"


def main():
    listener = socket.socket(fileno=int(sys.argv[1]))
    file = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock, file), daemon=True).start()


if __name__ == "__main__":
    main()
