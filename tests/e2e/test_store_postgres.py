"""The module of the shared store against a real PostgreSQL: its unit tests, which need a server."""
import os
import subprocess

import pytest

from lib.postern import ROOT
from lib.postgres import Postgres, program

TESTS = os.path.join(ROOT, "build", "tests", "unit", "store", "test_store_postgres")
MODULE = os.path.join(ROOT, "build", "src", "store", "postgres.so")
LIMIT_S = 300


@pytest.fixture(scope="module")
def server(base_folder):
    assert program("postgres"), "PostgreSQL is not installed (scripts/bootstrap check)"
    server = Postgres(os.path.join(base_folder, "postgres")).start()
    yield server
    server.stop()


def names():
    """The tests in the C source, each of which is one here."""
    with open(os.path.join(ROOT, "tests", "unit", "store", "test_postgres.c"), encoding="utf-8") as file:
        return [line.strip()[len("TEST("):-2] for line in file if line.strip().startswith("TEST(test_")]


@pytest.mark.parametrize("name", names())
def test_module(server, name):
    done = subprocess.run([TESTS], env={**os.environ, "POSTERN_TEST_POSTGRES": server.conninfo(),
                                        "POSTERN_TEST_MODULE": MODULE, "POSTERN_TEST_NAME": name},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + server.report()
    assert "1 test" in done.stdout or "1..1" in done.stdout, done.stdout
