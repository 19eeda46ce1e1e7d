"""Tables whose files change while the service runs: running workers use the new ones, whole, or go on with the old."""
import os
import threading

import pytest
from lib.client import Client
from lib.wait import eventually

TAKEN_S = 25  # the master looks every 5 s, and waits until a file has settled
KINDS = {"clients": "cidr", "names": "names", "senders": "addresses", "patterns": "patterns"}
RULES = {"clients": "client in clients", "names": "helo.name in names", "senders": "sender.address in senders",
         "patterns": "rcpt.address in patterns"}
BEFORE = {"clients": "203.0.113.0/24\n", "names": "nobody.example\n", "senders": "nobody@example.net\n",
          "patterns": "^nobody\n"}
AFTER = {"clients": "127.9.0.0/16\n", "names": ".banned.example\n", "senders": "banned@\n", "patterns": "^carl@\n"}


def replace(path, text):
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)


@pytest.fixture
def paths(folder):
    paths = {name: os.path.join(folder, name) for name in KINDS}
    for name, path in paths.items():
        replace(path, BEFORE[name])
    return paths


@pytest.fixture
def gateway(make_postern, make_server, folder, paths):
    policy = os.path.join(folder, "tables-policy")
    replace(policy, "layer policy {\n" + "".join(f'reject "{name}" when {rule}\n' for name, rule in RULES.items()) +
            "}\n")
    tables = [(f"{name} {kind}", {"file": paths[name]}) for name, kind in KINDS.items()]
    return make_postern([make_server()], policy=policy, dns={"use": "off"}, table=tables)


def refused(gateway, source="127.0.0.1", helo="client.example.net", sender="a@client.example.net",
            recipient="anna@example.com"):
    with Client(gateway.address, source=source) as client:
        client.ehlo(helo)
        return client.envelope(recipient, sender=sender).code != 250


def outcomes(gateway):
    return [refused(gateway, source="127.9.1.2"), refused(gateway, helo="mx.banned.example"),
            refused(gateway, sender="banned@client.example.net"), refused(gateway, recipient="carl@example.com"),
            refused(gateway)]


def test_running_workers_take_new_tables_of_every_kind(gateway, paths):
    pids = gateway.worker_pids()
    assert outcomes(gateway) == [False] * 5
    for name, path in paths.items():
        replace(path, AFTER[name])
    eventually(lambda: outcomes(gateway) == [True] * 4 + [False], "the new tables are used", TAKEN_S)
    assert gateway.worker_pids() == pids
    assert "table clients taken: 1 entries" in gateway.log()


def test_a_bad_line_is_named_and_the_old_table_stays_as_it_does_without_a_file(gateway, paths):
    replace(paths["clients"], "127.9.0.0/16\n127.9.0.0/99\n")
    os.unlink(paths["names"])
    eventually(lambda: f"{paths['clients']}:2:1: error" in gateway.log(), "the line is named", TAKEN_S)
    eventually(lambda: f"table names: {paths['names']}: No such file" in gateway.log(), "it is missed", TAKEN_S)
    assert "table clients: the old one stays" in gateway.log()
    assert outcomes(gateway) == [False] * 5
    replace(paths["clients"], AFTER["clients"])
    replace(paths["names"], AFTER["names"])
    eventually(lambda: outcomes(gateway) == [True, True, False, False, False], "they are taken again", TAKEN_S)
    assert gateway.log().count(f"table names: {paths['names']}: No such file") == 1


def test_a_table_that_was_empty_is_a_reload(make_postern, make_server, folder):
    policy, path = os.path.join(folder, "policy-empty"), os.path.join(folder, "banned")
    replace(policy, 'layer policy { reject "BANNED" when client in banned }\n')
    replace(path, "# nobody yet\n")
    gateway = make_postern([make_server()], policy=policy, dns={"use": "off"},
                           table=("banned cidr", {"file": path}))
    pids = gateway.worker_pids()
    assert not refused(gateway)
    replace(path, "127.0.0.1\n")
    eventually(lambda: refused(gateway), "it is used", TAKEN_S)
    assert set(gateway.worker_pids()).isdisjoint(pids)


def test_a_million_prefixes_are_swapped_and_no_client_notices(gateway, paths):
    """Sessions come and go all the while; each is served."""
    failed, is_over = [], threading.Event()

    def come_and_go():
        while not is_over.is_set():
            try:
                if refused(gateway):
                    failed.append("refused")
            except (OSError, AssertionError, TimeoutError) as fault:
                failed.append(repr(fault))
    clients = [threading.Thread(target=come_and_go) for _ in range(4)]
    for client in clients:
        client.start()
    numbers = ((n * 2654435761) % (1 << 24) for n in range(1000000))
    replace(paths["clients"], "127.9.0.0/16\n" + "".join(f"{11 + (n >> 16) % 100}.{n >> 8 & 255}.{n & 255}.{n % 4 * 64}"
                                                         "/26\n" for n in numbers))
    try:
        eventually(lambda: refused(gateway, source="127.9.1.2"), "the new table is used", 3 * TAKEN_S)
    finally:
        is_over.set()
        for client in clients:
            client.join()
    assert failed == []
