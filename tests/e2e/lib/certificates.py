"""Certificates for tests, made by openssl: an authority of our own, and what it signs."""
import os
import subprocess

KEYS = {"ecdsa": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["-newkey", "rsa:2048"]}


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                   check=True)


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
        self.made = {}

    def issue(self, name, kind="ecdsa", days=2):
        """A certificate for a DNS name; the same one each time it is asked for."""
        if (name, kind, days) in self.made:
            return self.made[name, kind, days]
        base = os.path.join(self.folder, f"{name}.{kind}.{len(self.made)}")
        chain, key, request, extensions = base + ".pem", base + ".key", base + ".csr", base + ".ext"
        with open(extensions, "w", encoding="ascii") as file:
            file.write(f"subjectAltName=DNS:{name}\n")
        openssl("req", "-nodes", *KEYS[kind], "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                "-days", str(days), "-extfile", extensions, "-out", chain)
        self.made[name, kind, days] = Certificate(chain, key, name)
        return self.made[name, kind, days]
