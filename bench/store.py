"""The measures of the store alone: `store_bench` fills a store and asks a real store process as a worker asks.

A store of ten million triplets, the sweep of a million rows that have expired, and hosts that share a PostgreSQL. Times
are the askers'; CPU time is that of the store process, its thread included, and of all processes of PostgreSQL.
"""
import contextlib
import json
import os
import sqlite3
import subprocess
import sys

from policy_servers import chown_to_worker
from servers import ROOT, TICK_S, tree

sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
from lib import postgres  # noqa: E402  (behind the path that makes it found)

PROGRAM = os.path.join(ROOT, "build", "bench", "store_bench")
MODULE = os.path.join(ROOT, "build", "src", "store", "postgres.so")
N_TRIPLETS = 10_000_000
N_SWEPT = 1_000_000
SWEEP_RATE = 2000  # questions a second meanwhile
HOSTS = (1, 2, 4)


def command(*words):
    return [PROGRAM, *(["-u", "nobody"] if os.geteuid() == 0 else []), *map(str, words)]


def run(*words):
    done = subprocess.run(command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False)
    if done.returncode != 0 or not done.stdout:
        raise RuntimeError(f"store_bench {' '.join(map(str, words))}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def fill(path, n, expired=0):
    result = run("-n", n, "-e", expired, "fill", path)
    chown_to_worker(path)
    return result


def cost_us(result):
    return result["store_cpu_us"] / max(result["done"], 1)


def wrong(result):
    """What is to be said of answers that were none, or others than were expected."""
    told = [f"{result[name]} {name}" for name in ("unavailable", "others") if result[name]]
    return ", ".join(told)


def note(result):
    return ", ".join(filter(None, [f"p99 {result['p99_us']} us, {cost_us(result):.0f} us of CPU", wrong(result)]))


def hot_bytes(path):
    """Of the table that every question reads."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT pgsize FROM dbstat WHERE name = 'grey' AND aggregate = TRUE").fetchone()[0]


def measure_large(table, folder, scale):
    path, n, asked = os.path.join(folder, "large.db"), N_TRIPLETS // scale, 100_000 // scale
    filled = fill(path, n)
    table.add(f"{n} triplets, a triplet", "sqlite", f"{filled['bytes'] / n:.0f} B",
              note=f"{hot_bytes(path) / n:.0f} B of them are read, the rest are names; {filled['bytes'] >> 20} MiB")
    for name, kind, first in (("a new one", "new", 0), ("a known one, after days", "known", 0),
                              ("a known one, within the hour", "known", 0)):
        result = run("-k", n, "-n", asked, "-f", first, kind, path)
        table.add(f"{name}, p50", "sqlite", f"{result['p50_us']} us", note=note(result))
    os.unlink(path)


def measure_sweep(table, folder, scale):
    """Questions at a steady rate while the rows go, and then as many when they are gone."""
    path, n = os.path.join(folder, "sweep.db"), N_SWEPT // scale
    fill(path, n, n)
    swept = run("-k", 2 * n, "-s", n, "-r", SWEEP_RATE, "new", path)
    quiet = run("-k", 2 * n, "-f", swept["done"], "-n", 10 * SWEEP_RATE, "-r", SWEEP_RATE, "new", path)
    table.add("p99 of answers, quiet", "sqlite", f"{quiet['p99_us']} us", note=wrong(quiet))
    table.add(f"the same, {n} rows being swept", "sqlite", f"{swept['p99_us']} us", swept["p99_us"] / quiet["p99_us"],
              "<= 20000 us", ", ".join(filter(None, [f"in {swept['seconds']:.0f} s", wrong(swept)])))
    os.unlink(path)


def cpu_s(pid):
    return sum(int(ticks) for stat in tree(pid).values() for ticks in stat[11:15]) * TICK_S


def ask_at_once(paths, server, kind, n, first):
    """Each host is asked for n triplets of its own. Returns the results and the server's CPU seconds."""
    hosts = [subprocess.Popen(command("-w", "-g", server.conninfo(), "-m", MODULE, "-c", 64, "-n", n, "-k", 10,
                                      "-f", first + i * n, kind, path),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
             for i, path in enumerate(paths)]
    for host in hosts:
        host.stdout.readline()  # its store is ready
    before = cpu_s(server.process.pid)
    for host in hosts:
        host.stdin.write(".")
        host.stdin.flush()
    lines = [host.stdout.readline() for host in hosts]
    took = cpu_s(server.process.pid) - before
    for host in hosts:
        host.communicate()
    if not all(lines):
        raise RuntimeError("store_bench ended without a result")
    return [json.loads(line) for line in lines], took


def measure_shared(table, folder, scale):
    if postgres.program("postgres") is None:
        table.add("hosts that share a store", "postgresql", "-", note="not installed, left out")
        return
    each, first = 50_000 // scale, 0
    server = postgres.Postgres(os.path.join(folder, "postgresql"), fsync="on", shared_buffers="256MB").start()
    try:
        run_init = command("-g", server.conninfo(), "-m", MODULE, "init")
        subprocess.run(run_init, stderr=subprocess.DEVNULL, check=True)
        for n_hosts in HOSTS:
            paths = [os.path.join(folder, f"host{n_hosts}-{i}.db") for i in range(n_hosts)]
            results, took = ask_at_once(paths, server, "new", each, first)
            first += n_hosts * each
            done = sum(result["done"] for result in results)
            rate = done / max(result["seconds"] for result in results)
            store = sum(result["store_cpu_us"] for result in results) / done
            table.add(f"new triplets a second, {n_hosts} on one server", "postgresql", f"{rate:.0f}/s",
                      note=", ".join(filter(None, [
                          f"CPU each: store {store:.0f} us, server {took * 1e6 / done:.0f} us",
                          f"p99 {max(result['p99_us'] for result in results)} us",
                          *sorted({wrong(result) for result in results})])))
    finally:
        server.stop()


def measure(table, folder, scale):
    chown_to_worker(folder)
    measure_large(table, folder, scale)
    measure_sweep(table, folder, scale)
    measure_shared(table, folder, scale)
