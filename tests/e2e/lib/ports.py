"""Free ports on loopback. They lie below the kernel's range for outgoing connections, so that no client of a test
takes one away between the choice and the bind; each is given out once a run."""
import itertools
import os
import socket

LOOPBACK = "127.0.0.1"
FIRST, LAST = 12000, 29999

_numbers = itertools.cycle(range(FIRST + os.getpid() * 37 % (LAST - FIRST), LAST))


def free_port():
    for port in _numbers:
        port = max(port, FIRST)
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        return port
    raise RuntimeError("no free port")
