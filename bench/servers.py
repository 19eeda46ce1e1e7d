"""The servers that the bench compares: each can be started, given the recipients of the bench, looked at, and stopped.

All listen on loopback, live in a folder of their own under the bench's temporary one, and log to a file there. A
server's CPU time and memory are those of its whole process tree, as /proc tells them; time of children that have
ended counts too.
"""
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
DOMAIN = "bench.example"
START_LIMIT_S = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stat_of(pid):
    """/proc/PID/stat behind the command's name: [0] state, [1] parent, [11:15] own and children's times. None: gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None


def tree(root):
    """root and all its descendants: {pid: stat}."""
    stats = {int(name): stat_of(name) for name in os.listdir("/proc") if name.isdigit()}
    found, grew = {root}, True
    while grew:
        more = {pid for pid, stat in stats.items() if stat and pid not in found and int(stat[1]) in found}
        found |= more
        grew = bool(more)
    return {pid: stats[pid] for pid in found if stats.get(pid)}


class Server:
    """A server under test. Subclasses give `name` and start_process(), which returns the pid at the tree's root."""
    name = ""
    has_one_process = False

    def __init__(self, folder, workers):
        self.folder = os.path.join(folder, self.name.replace(" ", "-"))
        os.makedirs(self.folder, mode=0o755, exist_ok=True)
        self.workers = workers
        self.port = free_port()
        self.pid = None
        self.process = None

    def start_process(self):
        raise NotImplementedError

    def popen(self, command):
        with open(os.path.join(self.folder, "output"), "ab") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        return self.process.pid

    def start(self):
        self.pid = self.start_process()
        end = time.monotonic() + START_LIMIT_S
        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=2) as probe:
                    if probe.recv(3) == b"220":
                        return self
            except OSError:
                pass
            if self.process and self.process.poll() is not None:
                break
            time.sleep(0.1)
        log = os.path.join(self.folder, "output")
        tail = open(log, encoding="utf-8", errors="replace").read()[-2000:] if os.path.exists(log) else ""
        self.stop()
        raise RuntimeError(f"{self.name} did not start\n{tail}")

    def stop(self):
        if not self.process:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def cpu_s(self):
        return sum(int(ticks) for stat in tree(self.pid).values() for ticks in stat[11:15]) * TICK_S

    def memory(self):
        """Bytes, shared pages divided among those who share them."""
        total = 0
        for pid in tree(self.pid):
            try:
                with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                    total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
            except OSError:
                pass
        return total

    def n_processes(self):
        return len(tree(self.pid))


class Floor(Server):
    """The bare loop of canned answers. With `accepting` it is also the mailbox server behind the others."""
    name = "floor"

    def __init__(self, folder, workers, accepting=False):
        super().__init__(folder, workers)
        self.accepting = accepting

    def start_process(self):
        program = os.path.join(ROOT, "build", "bench", "floor")
        return self.popen([program, *(["-a"] if self.accepting else []), "-w", str(self.workers), str(self.port)])


class SmtpSink(Server):
    """Postfix's test server: canned answers too, in one process."""
    name = "smtp-sink"
    has_one_process = True

    def __init__(self, folder, workers, accepting=False):
        super().__init__(folder, workers)
        self.accepting = accepting

    def start_process(self):
        command = [shutil.which("smtp-sink", path="/usr/sbin:/usr/bin"), "-m", "20000"]
        if os.geteuid() == 0:
            command += ["-u", "nobody"]
        return self.popen([*command, *([] if self.accepting else ["-f", "rcpt"]), f"127.0.0.1:{self.port}", "4096"])


class Postern(Server):
    name = "postern"
    program = os.path.join(ROOT, "build", "postern")
    config = """\
hostname mx.{domain}
user {user}
workers {workers}
greeting_delay 0
spool_path {folder}/spool
directory_path {folder}/recipients
control_socket {folder}/control

listen 127.0.0.1:{port}

servers mailbox {{
    server 127.0.0.1:{sink_port}
}}

domain {domain} {{
    servers mailbox
}}

limits {{
    connections 20000
    connections_client 1000
    connections_network 100
    server_connections {server_connections}
}}

log {{
    target stderr
}}

journal {{
    path {folder}/journal
}}
"""

    def __init__(self, folder, workers, recipients, sink_port):
        super().__init__(folder, workers)
        self.recipients = recipients
        self.conf = os.path.join(self.folder, "postern.conf")
        for name in ("spool", "recipients", "journal"):
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            os.chown(os.path.join(self.folder, "spool"), pwd.getpwnam(user).pw_uid, -1)
        with open(self.conf, "w", encoding="utf-8") as file:
            file.write(self.config.format(domain=DOMAIN, folder=self.folder, port=self.port, workers=workers, user=user,
                                          sink_port=sink_port, server_connections=40))

    def import_recipients(self, path):
        with open(os.path.join(self.folder, "output"), "ab") as output:
            command = [self.program, "recipients", "-c", self.conf, "import", DOMAIN, path]
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True)

    def start_process(self):
        if not os.listdir(os.path.join(self.folder, "recipients")):
            self.import_recipients(self.recipients)
        return self.popen([self.program, "run", "-c", self.conf])


class Postfix(Server):
    """An instance of its own: configuration, queue and data folders, one smtpd service on a high port. With `sink_port`
    it hands messages on before it answers (smtpd_proxy_filter), as a gateway without a queue does; without, it only
    refuses.
    """
    name = "postfix"
    main_cf = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
myhostname = mx.{domain}
mydestination =
mynetworks = 192.0.2.1/32
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relay_domains = {domain}
relay_recipient_maps = {map_type}:{folder}/recipients
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_relay_restrictions = reject_unauth_destination
smtpd_peername_lookup = no
smtpd_client_event_limit_exceptions = static:all
smtpd_client_connection_count_limit = 0
message_size_limit = 52428800
alias_maps =
local_recipient_maps =
"""
    master_cf = """\
127.0.0.1:{port} inet n - n - - smtpd{proxy}
cleanup unix n - n - 0 cleanup
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""

    def __init__(self, folder, workers, recipients, sink_port=None):
        super().__init__(folder, workers)
        self.config = os.path.join(self.folder, "config")
        for name in ("config", "queue", "data"):
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        shutil.chown(os.path.join(self.folder, "data"), "postfix")
        map_type = "hash" if "hash" in self.map_types() else "lmdb"
        values = {"folder": self.folder, "domain": DOMAIN, "port": self.port, "map_type": map_type,
                  "proxy": f" -o smtpd_proxy_filter=127.0.0.1:{sink_port}" if sink_port else ""}
        for name, text in (("main.cf", self.main_cf), ("master.cf", self.master_cf)):
            with open(os.path.join(self.config, name), "w", encoding="utf-8") as file:
                file.write(text.format(**values))
        path = os.path.join(self.folder, "recipients")
        with open(path, "w", encoding="utf-8") as out, open(recipients, encoding="utf-8") as file:
            out.writelines(line.rstrip() + " ok\n" for line in file)
        subprocess.run(["/usr/sbin/postmap", "-c", self.config, f"{map_type}:{path}"], check=True)

    def map_types(self):
        """It wants to read a main.cf before it says; a package that nobody has configured has none."""
        with open(os.path.join(self.config, "main.cf"), "w", encoding="utf-8"):
            pass
        done = subprocess.run(["/usr/sbin/postconf", "-c", self.config, "-m"], stdout=subprocess.PIPE, text=True,
                              check=True)
        return done.stdout.split()

    def postfix(self, verb):
        return subprocess.run(["/usr/sbin/postfix", "-c", self.config, verb], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    def start_process(self):
        done = self.postfix("start")
        with open(os.path.join(self.folder, "output"), "w", encoding="utf-8") as file:
            file.write(done.stdout)
        try:
            with open(os.path.join(self.folder, "queue", "pid", "master.pid"), encoding="ascii") as file:
                return int(file.read())
        except OSError:
            raise RuntimeError(f"postfix did not start\n{done.stdout}") from None

    def stop(self):
        if self.pid:
            self.postfix("stop")
            end = time.monotonic() + 20
            while stat_of(self.pid) and time.monotonic() < end:
                time.sleep(0.1)
        self.pid = None
