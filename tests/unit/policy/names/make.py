#!/usr/bin/python3
"""Writes development.tsv and held-out.tsv from schemes.txt.

Each scheme gives a few lines with addresses of its own, the same at every run. A scheme goes to one of the files by a
hash of its organisational domain, so that the held-out file shows what the classifier does with providers that nobody
looked at. One line in eight has no address, one in ten ends with a dot, one in ten is in upper case.
"""
import hashlib
import pathlib
import random
import re

HERE = pathlib.Path(__file__).parent
LINES = {"access": 4, "static": 4, "mail": 4, "other": 2}
SECOND_LEVEL = {"co", "com", "net", "org", "ne", "or", "ad", "ac", "gov", "edu"}
SITES = ["par", "lon", "nyc", "mad", "osl", "wro", "sfo", "bud", "spk", "rio", "del", "ber", "mtl", "ath", "kyo"]


def domain(pattern):
    labels = pattern.lower().rstrip(".").split(".")
    n = 3 if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in SECOND_LEVEL else 2
    return ".".join(labels[-n:])


def address4(rng):
    while True:
        a = [rng.randrange(2, 223), rng.randrange(256), rng.randrange(256), rng.randrange(1, 255)]
        if a[0] not in (10, 127, 169, 172, 192, 198):
            return a


def address6(rng):
    groups = [0x2001 + rng.randrange(3) * 0x200, rng.randrange(0x400, 0xFFFF)]
    return groups + [rng.randrange(0x10000) for _ in range(6)]


def fill(pattern, rng):
    if "{v6" in pattern:
        groups = address6(rng)
        full = "".join("%04x" % g for g in groups)
        text = ":".join("%x" % g for g in groups)
        values = {"v6g": "-".join("%x" % g for g in groups), "v6gp": "-".join("%04x" % g for g in groups),
                  "v6full": full, "v6nib": ".".join(reversed(full)), "v6h": "-".join("%x" % g for g in groups[4:])}
    else:
        a = address4(rng)
        text = ".".join(map(str, a))
        values = {"hex": "%02x%02x%02x%02x" % tuple(a), "HEX": "%02X%02X%02X%02X" % tuple(a),
                  "int": str(int.from_bytes(bytes(a), "big")), "mac": "%012x" % rng.randrange(1 << 48)}
        for key, octet in zip("abcd", a):
            values.update({key: str(octet), key.upper(): "%03d" % octet, "h" + key: "%02x" % octet})
    site = rng.choice(SITES)

    def value(match):
        key = match[1]
        if key in values:
            return values[key]
        if key == "s":
            return site
        kind, count = key[0], int(key[1:])
        if kind == "n":
            return str(rng.randrange(10 ** (count - 1), 10 ** count))
        letters = {"x": "0123456789abcdef", "l": "abcdefghijklmnoprstuvwz", "L": "ABCDEFGHIJKLMNOPRSTUVW0123456789"}
        return "".join(rng.choice(letters[kind]) for _ in range(count))

    return re.sub(r"\{(\w+)\}", value, pattern), text


def lines_of(kind, pattern):
    rng = random.Random("%s %s" % (kind, pattern))
    for _ in range(LINES[kind] if "{" in pattern else 1):
        name, address = fill(pattern, rng)
        how = rng.randrange(40)
        if how < 5:
            address = ""
        if how % 10 == 7:
            name += "."
        if how % 10 == 8:
            name = name.upper()
        yield "%s\t%s\t%s\n" % (name, address, kind)


def main():
    files = {"development.tsv": [], "held-out.tsv": []}
    for line in (HERE / "schemes.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            kind, pattern = line.split("\t")
            odd = hashlib.sha256(domain(pattern).encode()).digest()[0] % 5 >= 3
            files["held-out.tsv" if odd else "development.tsv"] += lines_of(kind, pattern)
    for name, lines in files.items():
        (HERE / name).write_text("".join(dict.fromkeys(lines)))


main()
