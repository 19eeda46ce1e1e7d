"""Certificates for tests, made by openssl: an authority of our own, and what it signs."""
import datetime
import os
import subprocess

CONFIGURATION = """[ca]
default_ca = test
[test]
database = {folder}/index.txt
new_certs_dir = {folder}
default_md = sha256
policy = names
rand_serial = yes
unique_subject = no
[names]
commonName = supplied
"""
KEYS = {"ecdsa": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["-newkey", "rsa:2048"]}


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                   check=True)


def date(days):
    """That many days from now, as openssl reads it."""
    return f"{datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days):%Y%m%d%H%M%SZ}"


class Certificate:
    """Paths of a chain and its key, both PEM; str() is what option `certificate` of postern.conf wants."""

    def __init__(self, chain, key, name):
        self.chain, self.key, self.name = chain, key, name

    def __str__(self):
        return f"{self.chain} {self.key}"


class Authority:
    def __init__(self, folder):
        self.folder = os.path.join(folder, "authority")
        os.makedirs(self.folder)
        self.certificate = os.path.join(self.folder, "ca.pem")
        self.key = os.path.join(self.folder, "ca.key")
        openssl("req", "-x509", "-nodes", *KEYS["ecdsa"], "-keyout", self.key, "-out", self.certificate, "-days", "2",
                "-subj", "/CN=Test Authority")
        self.configuration = os.path.join(self.folder, "ca.conf")
        with open(self.configuration, "w", encoding="ascii") as file:
            file.write(CONFIGURATION.format(folder=self.folder))
        with open(os.path.join(self.folder, "index.txt"), "w", encoding="ascii"):
            pass
        self.made = {}

    def issue(self, name, kind="ecdsa", days=2):
        """
        A certificate for a DNS name; the same one each time it is asked for. It ends `days` from now, so -1 is an
        expired one: `openssl x509 -days` takes no such number from OpenSSL 3.4 on, so dates are given as dates.
        """
        if (name, kind, days) in self.made:
            return self.made[name, kind, days]
        base = os.path.join(self.folder, f"{name}.{kind}.{len(self.made)}")
        chain, key, request, extensions = base + ".pem", base + ".key", base + ".csr", base + ".ext"
        with open(extensions, "w", encoding="ascii") as file:
            file.write(f"subjectAltName=DNS:{name}\n")
        openssl("req", "-nodes", *KEYS[kind], "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        openssl("ca", "-batch", "-notext", "-config", self.configuration, "-in", request, "-cert", self.certificate,
                "-keyfile", self.key, "-startdate", date(-2), "-enddate", date(days), "-extfile", extensions,
                "-out", chain)
        self.made[name, kind, days] = Certificate(chain, key, name)
        return self.made[name, kind, days]
