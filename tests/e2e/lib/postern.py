"""The program under test: a postern.conf written from keywords, directories imported by the real command, the daemon
with its log and journal.

    gateway = Postern(folder, servers=("mailbox", {"server": "127.0.0.1:2526"}), recipients={"example.com": ["anna"]},
                      domain=[("example.com", {"delimiter": "+"})], limits={"connections": 200})

Keywords are options of postern.conf, but for `recipients` (what is imported: domain and addresses), `port` and
`listener` (port and block of the one listener), `environment` and `hosts` (what it finds in place of /etc/hosts; needs
root). A value is a word or a number; a dict is a block; a
pair is a word with a block behind it; a list repeats the option; None leaves it out.
"""
import contextlib
import glob
import json
import os
import pwd
import re
import signal
import subprocess
import sys

from lib.ports import LOOPBACK, free_port
from lib.program import Program, is_root, kill
from lib.wait import eventually

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PROGRAM = os.environ.get("POSTERN", os.path.join(ROOT, "build", "postern"))
COMMANDS = ["run", "check", "classify", "explain", "report", "recipients", "greylist", "quarantine", "store", "status",
            "reload"]
DOMAIN = "example.com"
START_LIMIT_S = 60

# It gets its own mount, and keeps its process id.
WITH_HOSTS = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"']

# What a supervisor does between fork and exec: the socket becomes descriptor 3, for the process that has this id.
PASS_SOCKET = """\
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def statements(options):
    """The text of postern.conf for a dict of options."""
    lines = []
    for name, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            if one is None:
                continue
            word, block = one if isinstance(one, tuple) else ("", one) if isinstance(one, dict) else (one, None)
            head = f'{name} "{word}"' if str(word).startswith(ROOT) else f"{name} {word}".rstrip()  # it may have blanks
            if block is None:
                lines.append(head)
            else:
                lines += [head + " {", *("    " + line for line in statements(block)), "}"]
    return lines


def worker_user():
    """Whom workers run as: root needs an unprivileged user that exists, anyone else stays who he is."""
    if not is_root():
        return pwd.getpwuid(os.geteuid()).pw_name
    try:
        return pwd.getpwnam("postern").pw_name
    except KeyError:
        return "nobody"


class Postern(Program):
    name = "postern"

    def __init__(self, folder, recipients=None, environment=None, port=None, listener=None, hosts=None,
                 **options):
        super().__init__(folder)
        self.conf = os.path.join(folder, "postern.conf")
        self.journal_folder = os.path.join(folder, "journal")
        self.environment = environment or {}
        self.hosts = hosts
        self.port = port or free_port()
        self.address = (LOOPBACK, self.port)
        self.options = {
            "hostname": "mx.example.com",
            "listen": (f"{LOOPBACK}:{self.port}", listener),
            "user": worker_user(),
            "workers": 2,
            "greeting_delay": 0,
            "directory_path": os.path.join(folder, "recipients"),
            "spool_path": os.path.join(folder, "spool"),
            "control_socket": os.path.join(folder, "control"),
            "domain": DOMAIN,
            "limits": {},
            "journal": {"path": self.journal_folder},
        }
        self.expected_deaths = 0
        self.is_first_start = True
        self.configure(**options)
        for domain, addresses in (recipients or {}).items():
            self.import_recipients(domain, addresses)

    def configure(self, **options):
        """Writes postern.conf with these options changed; None takes one out. For the running daemon, reload()
        follows."""
        self.options.update(options)
        if self.options.get("limits") is not None:  # on loopback all clients are of one network
            self.options["limits"] = {"connections_network": 100, **self.options["limits"]}
        limits = {"repeated_refusals": 0, **(self.options.get("limits") or {})}  # most tests look for each one
        with open(self.conf, "w", encoding="utf-8") as file:
            file.write("\n".join(statements({**self.options, "limits": limits})) + "\n")

    # ---- commands

    def command_line(self, *arguments):
        """What calls a subcommand with this configuration."""
        return [PROGRAM, arguments[0], "-c", self.conf, *arguments[1:]]

    def command(self, *arguments):
        """A subcommand with this configuration. Returns the CompletedProcess, output as text, stderr included."""
        return subprocess.run(self.command_line(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
                              env={**os.environ, **self.environment})

    def json_lines(self, *arguments):
        """What a subcommand that must succeed prints, a JSON object a line."""
        done = self.command(*arguments)
        assert done.returncode == 0, done.stdout
        return [json.loads(line) for line in done.stdout.splitlines()]

    def import_recipients(self, domain, addresses, *arguments):
        """Imports a list by the real command, which must succeed. Returns its output."""
        path = os.path.join(self.folder, f"{domain}.list")
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(address + "\n" for address in addresses))
        done = self.command("recipients", "import", domain, path, *arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def status(self):
        done = self.command("status", "--json")
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout)

    def total(self, name):
        """One of the totals of `status`: messages, refused, evicted …"""
        return self.status()["totals"][name]

    def worker_pids(self):
        return [worker["pid"] for worker in self.status()["workers"] if worker["state"] == "ready"]

    def reload(self):
        """`postern reload`, which must succeed. Returns its output."""
        done = self.command("reload")
        assert done.returncode == 0, done.stdout
        return done.stdout

    # ---- life

    def start(self, socket=None):
        """Returns self, ready to serve. `socket` is passed as a supervisor passes it, by LISTEN_FDS."""
        seen = len(self.log())
        command, options = [PROGRAM, "run", "-c", self.conf], {"env": {**os.environ, **self.environment}}
        if self.hosts:
            command = [*WITH_HOSTS, self.hosts, *command]
        if socket:
            command = [sys.executable, "-c", PASS_SOCKET, str(socket.fileno()), *command]
            options["pass_fds"] = [socket.fileno()]
        self.launch(command, **options)
        started = r"master\[\d+\]: started: |\"message\":\"started: "
        eventually(lambda: not self.is_running() or self.find_log(started, seen), "started", START_LIMIT_S)
        assert self.is_running(), f"postern did not start\n{self.report()}"
        return self

    def kill_worker(self, pid):
        """kill -9 of a worker; waits until the master has replaced it."""
        before = len(self.log())
        self.expected_deaths += 1
        kill(pid)
        eventually(lambda: self.find_log(r"worker \d+ replaced: ", before), "worker replaced")

    def long_lived_pids(self):
        """Of workers that the master would replace at once: those that live less than a second are waited with."""
        return [worker["pid"] for worker in self.status()["workers"]
                if worker["state"] == "ready" and worker["uptime_ms"] >= 1000]

    def kill_workers(self, times, choice):
        """kill -9 of one worker after the other, picked by `choice`, a random.Random."""
        for _ in range(times):
            self.kill_worker(choice.choice(eventually(self.long_lived_pids, "a worker older than a second")))

    def kill_all(self):
        """kill -9 of master and workers, as a power cut does; nothing is left running."""
        pids = [self.pid, *self.worker_pids()]
        self.process.kill()
        self.wait()
        for pid in pids[1:]:
            with contextlib.suppress(ProcessLookupError):  # workers end by themselves when the master is gone
                kill(pid)

    def stop(self):
        """SIGTERM; asserts that no worker died but those killed by the test, and that no sanitizer or abort spoke."""
        was_running = self.is_running()
        code = super().stop()
        if was_running:
            assert code == 0, f"exit code {code}\n{self.report()}"
        deaths = self.find_all_log(r"worker \d+ died: .*")
        assert len(deaths) == self.expected_deaths, f"workers died: {deaths}\n{self.report()}"
        assert not self.find_log(r"ERROR: \w*Sanitizer|runtime error:|Assertion .* failed"), self.report()
        return code

    # ---- what it wrote

    def log(self):
        try:
            with open(self.output, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def find_log(self, pattern, start=0):
        """The first match in the log from that offset on, or None. ^ and $ stand for lines."""
        return re.compile(pattern, re.MULTILINE).search(self.log(), start)

    def find_all_log(self, pattern):
        return [match[0] for match in re.finditer(pattern, self.log(), re.MULTILINE)]

    def wait_log(self, pattern, start=0):
        return eventually(lambda: self.find_log(pattern, start), f"log line {pattern!r} in {self.output}")

    def journal_files(self):
        return sorted(glob.glob(os.path.join(self.journal_folder, "*")))

    def journal(self):
        """All records of the files that are not compressed, by time. Workers write once a second."""
        records = []
        for path in self.journal_files():
            if path.endswith(".jsonl"):
                with open(path, encoding="utf-8") as file:
                    records += [json.loads(line) for line in file if line.endswith("\n")]
        return sorted(records, key=lambda record: record["time"])

    def wait_journal(self, **fields):
        """The first record with these values, waited for."""
        def find():
            for record in self.journal():
                if all(record.get(name) == value for name, value in fields.items()):
                    return record
            return None
        return eventually(find, f"journal record with {fields}")

    def hang_up(self):
        self.send_signal(signal.SIGHUP)
