"""Waiting for what another process does: a condition is polled until it holds or its deadline passes. No test sleeps
for a fixed time."""
import time

POLL_S = 0.01
DEADLINE_S = 15


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
