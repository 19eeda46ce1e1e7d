"""What the log advises when the shared server cannot be used: the advice is run as it stands, and helps."""
import itertools
import re
import shlex

import pytest

from lib.wait import eventually

numbers = itertools.count()
ROLE = "gateway"

# What an administrator did, by name: SQL. (Without a hash key nothing is advised: a host gives it back by itself.)
STATES = {
    "no_tables": "DROP TABLE meta, grey",
    "no_table_of_rows": "DROP TABLE grey",
    "no_table_about_itself": "DROP TABLE meta",
    "an_older_version": "UPDATE meta SET value = '0' WHERE name = 'version'",
    "no_rights_to_write": f"REVOKE INSERT, UPDATE ON grey FROM {ROLE}",
    "no_rights_to_read": f"REVOKE ALL ON meta, grey FROM {ROLE}",
    "no_rights_in_the_schema": f"REVOKE USAGE ON SCHEMA public FROM PUBLIC, {ROLE}",
}


def ask(host):
    return host.status(f"s{next(numbers)}@example.net")


@pytest.fixture
def host(make_host, shared_server):
    """One whose role may use the tables, and make none."""
    shared_server.sql(f"CREATE ROLE {ROLE} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    host = make_host("only", store={"postgresql": f'"{shared_server.conninfo(user=ROLE)}"'})
    done = host.gateway.command("store", "--connect", shared_server.conninfo(), "init")
    assert done.returncode == 0, done.stdout
    shared_server.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON meta, grey TO {ROLE}")
    return host.start()


def advice_in(text):
    return re.findall(r"'((?:postern store|GRANT) [^']*)'", text)


def follow(advice, host, shared_server):
    """Runs one command as its words say. Returns what else it advises."""
    if advice.startswith("GRANT"):
        shared_server.sql(advice)
        return []
    words = shlex.split(advice)[2:]
    done = host.gateway.command("store", *words)
    if done.returncode == 0:
        return []
    if "--connect" in done.stdout:
        done = host.gateway.command("store", "--connect", shared_server.conninfo(), *words)
        assert done.returncode == 0, done.stdout
        return []
    found = advice_in(done.stdout)
    assert found, done.stdout
    return found


@pytest.mark.parametrize("state", STATES)
def test_what_is_advised_helps(host, shared_server, state):
    seen = set()
    ask(host)
    shared_server.sql(STATES[state])
    # What was prepared may go on in this session; a new connection meets the state.
    shared_server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")

    def is_up_again():
        ask(host)
        store = host.store()
        if store["shared"] == "up" and seen:
            return True
        to_do = [advice for advice in advice_in(store["why"]) if advice not in seen and store["shared"] == "down"]
        while to_do:
            advice = to_do.pop(0)
            seen.add(advice)
            to_do += follow(advice, host, shared_server)
        return False

    eventually(is_up_again, f"{state}: what was advised helps", 60)


def test_a_newer_version_advises_no_command(host, shared_server):
    shared_server.sql("UPDATE meta SET value = '99' WHERE name = 'version'")
    shared_server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")
    eventually(lambda: "newer version" in host.store()["why"], "it is told", 30)
    assert not advice_in(host.store()["why"])
