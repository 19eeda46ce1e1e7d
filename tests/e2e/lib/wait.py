"""Waiting for what another process does: a condition is polled until it holds or its deadline passes. No test sleeps
for a fixed time. Deadlines are far beyond what an idle machine needs, since a test that fails because others build
beside it is wrong."""
import time

POLL_S = 0.01
DEADLINE_S = 60


def eventually(condition, what="", within=DEADLINE_S):
    """Returns the first true value of condition(). Fails the test when none came within `within` seconds."""
    end = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {within} s: {what or condition}")
        time.sleep(POLL_S)
