"""A real spamd on a Unix socket and on loopback, with the rules of the package, and without network tests."""
import glob
import os
import shutil
import signal
import socket

from lib.ports import LOOPBACK, free_port
from lib.postern import worker_user
from lib.program import Program, is_root
from lib.wait import eventually

START_LIMIT_S = 120
ANSWER_LIMIT_S = 5
# In two halves, so that no mail about this file is taken for spam. It scores 1000.
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
SITE = "/etc/spamassassin"


def missing():
    """What is not installed; '' when all is."""
    return "" if program() else "spamd"


def program():
    return shutil.which("spamd", path=os.environ.get("PATH", "") + ":/usr/sbin")


class Spamd(Program):
    """`rules`: lines of local.cf; @HOME@ is a folder it may write to. `tell`: it may be taught. What the package
    switches on in its *.pre files is on here."""
    name = "spamd"

    def __init__(self, folder, rules="", children=3, tell=False):
        os.makedirs(os.path.join(folder, "site"))
        os.makedirs(os.path.join(folder, "home"))
        os.chmod(folder, 0o755)
        super().__init__(folder)
        self.children = children
        self.may_tell = tell
        self.port = free_port()
        self.unix = f"unix:{folder}/socket"
        self.tcp = f"{LOOPBACK}:{self.port}"
        self.is_frozen = False
        if is_root():  # it scans as somebody else
            shutil.chown(os.path.join(folder, "home"), worker_user())
        for path in glob.glob(os.path.join(SITE, "*.pre")):
            shutil.copy(path, os.path.join(folder, "site"))
        with open(os.path.join(folder, "site", "local.cf"), "w", encoding="utf-8") as file:
            file.write("use_bayes 0\n" + rules.replace("@HOME@", os.path.join(folder, "home")))

    def start(self):
        home = os.path.join(self.folder, "home")
        command = [program(), "--local", "--nouser-config", "--siteconfigpath", os.path.join(self.folder, "site"),
                   "--socketpath", self.unix.removeprefix("unix:"), "--socketmode", "0666", "--listen", LOOPBACK,
                   "--port", str(self.port), "--max-children", str(self.children), "--min-children", "1",
                   "--helper-home-dir", home, "--syslog", "stderr"]
        if self.may_tell:
            command.append("--allow-tell")
        if is_root():
            command += ["--username", worker_user()]
        self.launch(command, start_new_session=True, env={**os.environ, "HOME": home})
        eventually(lambda: not self.is_running() or self.answers(), "spamd answers", START_LIMIT_S)
        assert self.is_running(), self.report()
        return self

    def answers(self):
        """True when it answers PING on loopback."""
        try:
            with socket.create_connection((LOOPBACK, self.port), ANSWER_LIMIT_S) as asks:
                asks.sendall(b"PING SPAMC/1.5\r\n\r\n")
                return asks.recv(64).endswith(b" PONG\r\n")
        except OSError:
            return False

    def freeze(self):
        """It keeps its sockets, and answers nothing, its children included."""
        os.killpg(self.pid, signal.SIGSTOP)
        self.is_frozen = True

    def thaw(self):
        os.killpg(self.pid, signal.SIGCONT)
        self.is_frozen = False

    def stop(self):
        if self.is_frozen:
            self.thaw()
        return super().stop()
