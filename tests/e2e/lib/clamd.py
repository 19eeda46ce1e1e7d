"""A real clamd on a Unix socket and on loopback, with a signature database made by hand: it knows the EICAR test file
and nothing else, and needs no network."""
import os
import shutil
import signal
import socket

from lib.ports import LOOPBACK, free_port
from lib.program import Program, is_root
from lib.wait import eventually

START_LIMIT_S = 120
ANSWER_LIMIT_S = 5
# In two halves, so that no scanner takes this file for what it tests with.
EICAR = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
NAME = "Eicar-Test-Signature.UNOFFICIAL"  # what clamd makes of a signature that is not its maker's

CONF = """\
Foreground yes
DatabaseDirectory {folder}/signatures
TemporaryDirectory {folder}/temporary
LocalSocket {folder}/socket
LocalSocketMode 666
TCPSocket {port}
TCPAddr {address}
MaxThreads 4
"""


def missing():
    """What is not installed; '' when all is."""
    return "" if program() else "clamd"


def program():
    return shutil.which("clamd", path=os.environ.get("PATH", "") + ":/usr/sbin")


class Clamd(Program):
    """Keywords are options of clamd.conf: StreamMaxLength="1M"."""
    name = "clamd"

    def __init__(self, folder, **options):
        os.makedirs(folder)
        os.chmod(folder, 0o755)
        super().__init__(folder)
        self.port = free_port()
        self.unix = f"unix:{folder}/socket"
        self.tcp = f"{LOOPBACK}:{self.port}"
        self.is_frozen = False
        self.conf = os.path.join(folder, "clamd.conf")
        for name in ("signatures", "temporary"):
            os.mkdir(os.path.join(folder, name))
        with open(os.path.join(folder, "signatures", "eicar.ndb"), "w", encoding="ascii") as file:
            file.write(f"Eicar-Test-Signature:0:*:{EICAR.encode().hex()}\n")
        with open(self.conf, "w", encoding="utf-8") as file:
            file.write(CONF.format(folder=folder, address=LOOPBACK, port=self.port))
            if is_root():
                file.write("User root\n")
            file.write("".join(f"{name} {value}\n" for name, value in options.items()))

    def start(self):
        self.launch([program(), "-c", self.conf], start_new_session=True)
        eventually(lambda: not self.is_running() or self.answers(), "clamd answers", START_LIMIT_S)
        assert self.is_running(), self.report()
        return self

    def answers(self):
        """True when it answers PING on loopback."""
        try:
            with socket.create_connection((LOOPBACK, self.port), ANSWER_LIMIT_S) as asks:
                asks.sendall(b"zPING\0")
                return asks.recv(16) == b"PONG\0"
        except OSError:
            return False

    def freeze(self):
        """It keeps its sockets, and answers nothing."""
        os.killpg(self.pid, signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self):
        os.killpg(self.pid, signal.SIGCONT)
        self.is_frozen = False

    def stop(self):
        if self.is_frozen:
            self.thaw()
        return super().stop()
