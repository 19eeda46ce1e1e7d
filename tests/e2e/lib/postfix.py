"""A real Postfix with configuration, queue and data in a folder of its own, listening on a high loopback port. Root
only, as Postfix is.

Two uses: the mailbox server behind Postern (mail to `domains` ends in one Maildir), and a sender that relays through
Postern.
"""
import os
import re
import shutil
import subprocess

from lib.ports import LOOPBACK, free_port
from lib.program import is_alive, is_root, tail
from lib.wait import eventually

MAIN = {
    "compatibility_level": "3.6",
    "mail_owner": "postfix",
    "setgid_group": "postdrop",
    "myhostname": "mailbox.example.com",
    "mydestination": "",
    "mynetworks": "127.0.0.0/8",
    "inet_interfaces": "127.0.0.1",
    "inet_protocols": "ipv4",
    "alias_maps": "",
    "alias_database": "",
    "local_recipient_maps": "",
    "smtpd_peername_lookup": "no",
    "smtpd_client_event_limit_exceptions": "static:all",
    "smtpd_client_connection_count_limit": "0",
    "smtpd_authorized_xforward_hosts": "127.0.0.0/8",
    "smtpd_authorized_xclient_hosts": "127.0.0.0/8",
    "message_size_limit": "104857600",
    "mailbox_size_limit": "0",
    "virtual_mailbox_limit": "0",
    "virtual_transport": "virtual",
    "maximal_queue_lifetime": "1h",
    "bounce_queue_lifetime": "1h",
    "in_flow_delay": "0",
    "smtputf8_enable": "yes",
    "smtp_dns_support_level": "disabled",
    "smtp_tls_security_level": "none",
    "qmgr_message_active_limit": "2000",
}

MASTER = """\
{host}:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

START_LIMIT_S = 120


def missing():
    """Why no Postfix can be started here, or None."""
    if not is_root():
        return "only root can start Postfix"
    return None if os.path.exists("/usr/sbin/postfix") else "Postfix is not installed"


class Postfix:
    """Keywords are parameters of main.cf. `refused` maps recipients to the reply that RCPT gets."""

    def __init__(self, folder, domains=("example.com",), refused=None, **parameters):
        self.folder, self.config = folder, os.path.join(folder, "config")
        self.mail = os.path.join(folder, "mail")
        self.log_path = os.path.join(folder, "maillog")
        self.port = free_port()
        self.address = (LOOPBACK, self.port)
        self.pid = None
        self.read = {}
        for name in ("config", "queue", "data", "mail"):
            os.makedirs(os.path.join(folder, name), exist_ok=True)
        shutil.chown(os.path.join(folder, "data"), "postfix")
        shutil.chown(self.mail, "nobody", "nogroup")
        rules = ", ".join(f"{{ {address} = {reply} }}" for address, reply in (refused or {}).items())
        self.parameters = {
            **MAIN,
            "queue_directory": f"{folder}/queue", "data_directory": f"{folder}/data",
            "maillog_file": self.log_path, "maillog_file_prefixes": folder,
            "virtual_mailbox_domains": ", ".join(domains),
            "virtual_mailbox_base": self.mail, "virtual_mailbox_maps": "static:all/",
            "virtual_uid_maps": "static:65534", "virtual_gid_maps": "static:65534", "virtual_minimum_uid": "100",
            "smtpd_recipient_restrictions": (f"check_recipient_access inline:{{ {rules} }}, " if rules else "")
                                            + "permit_mynetworks, reject_unauth_destination",
            **{name: str(value) for name, value in parameters.items()},
        }
        self.write()

    def __str__(self):
        """What option `server` of postern.conf wants."""
        return f"{LOOPBACK}:{self.port}"

    def write(self):
        with open(os.path.join(self.config, "main.cf"), "w", encoding="utf-8") as file:
            file.write("".join(f"{name} = {value}\n" for name, value in self.parameters.items()))
        with open(os.path.join(self.config, "master.cf"), "w", encoding="utf-8") as file:
            file.write(MASTER.format(host=LOOPBACK, port=self.port))

    def postfix(self, verb):
        return subprocess.run(["/usr/sbin/postfix", "-c", self.config, verb], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    def start(self):
        done = self.postfix("start")
        path = os.path.join(self.folder, "queue", "pid", "master.pid")
        assert done.returncode == 0 and os.path.exists(path), f"postfix did not start\n{done.stdout}\n{self.report()}"
        with open(path, encoding="ascii") as file:
            self.pid = int(file.read())
        return self

    def reload(self, **parameters):
        self.parameters.update({name: str(value) for name, value in parameters.items()})
        self.write()
        self.postfix("reload")

    def stop(self):
        if self.pid and is_alive(self.pid):
            self.postfix("stop")
            eventually(lambda: not is_alive(self.pid), "postfix stopped")
        self.pid = None

    # ---- what arrived

    def arrived(self, recipient=None):
        """All messages delivered to that address, or to any, as Mail."""
        folder = os.path.join(self.mail, "all", "new")
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        for name in names:
            if name not in self.read:
                with open(os.path.join(folder, name), "rb") as file:
                    self.read[name] = Mail(file.read())
        return [mail for mail in self.read.values() if recipient is None or mail["Delivered-To"] == recipient]

    def wait_mail(self, recipient, subject, within=START_LIMIT_S):
        """The message to that address with that Subject, as Mail, waited for."""
        def find():
            return next((mail for mail in self.arrived(recipient) if mail["Subject"] == subject), None)
        return eventually(find, f"mail {subject!r} to {recipient}\n{tail(self.log_path)}", within)

    def send(self, sender, recipients, message):
        """Hands a message (bytes, LF line ends) to this Postfix for delivery, as a local program does."""
        subprocess.run(["/usr/sbin/sendmail", "-C", self.config, "-i", "-f", sender, *recipients], input=message,
                       env={**os.environ, "MAIL_CONFIG": self.config}, check=True, timeout=60)

    def log(self):
        return tail(self.log_path, 10_000_000)

    def wait_log(self, pattern, start=0):
        found = re.compile(pattern, re.MULTILINE)
        return eventually(lambda: found.search(self.log(), start), f"{pattern!r} in {self.log_path}")

    def report(self):
        return f"---- postfix, {self.log_path}\n{tail(self.log_path)}"


class Mail:
    """A delivered message. `text` is what Postfix wrote, its own fields in front; `body` the bytes behind the head;
    line ends are LF."""

    def __init__(self, text):
        self.text = text
        self.head, _, self.body = text.partition(b"\n\n")

    def all(self, name):
        """The unfolded values of all fields of that name, from the top."""
        head = re.sub(r"\n[ \t]+", " ", self.head.decode("utf-8", "replace"))
        return re.findall(rf"(?im)^{re.escape(name)}:[ \t]*(.*)$", head)

    def __getitem__(self, name):
        return next(iter(self.all(name)), None)
