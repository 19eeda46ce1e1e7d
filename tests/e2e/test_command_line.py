"""The command line alone: wrong use says how it is right and ends with 64, and never starts anything."""
import json
import os
import subprocess

import pytest

from lib.postern import COMMANDS, PROGRAM


def postern(*arguments):
    return subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          check=False)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("wrong", ["-x", "--no-such-option", "-c"])
def test_a_wrong_option_is_answered_with_the_usage(command, wrong):
    done = postern(command, wrong)
    assert done.returncode == 64
    assert f"usage: postern {command} " in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_subcommand_has_a_help(command):
    done = postern(command, "--help")
    assert done.returncode == 0
    assert f"postern {command} " in done.stdout


def test_an_unknown_command_is_answered_with_the_one_that_was_meant():
    done = postern("chek")
    assert done.returncode == 64
    assert "did you mean 'check'?" in done.stderr


def test_lines_that_are_no_records_are_told_and_a_torn_end_is_not(folder):
    record = {"time": "2026-11-28T01:00:00.000Z", "layer": "policy", "action": "reject", "rule": "PTRNUL HELO_IP"}
    with open(os.path.join(folder, "postern-20261128-010000-000.jsonl"), "w", encoding="ascii") as file:
        file.write(json.dumps(record) + "\nwhat somebody wrote\n{}\n" + json.dumps(record) + '\n{"time":"2026-1')
    done = postern("report", "policy", "--journal", folder)
    assert (done.returncode, done.stdout) == (0, "2 PTRNUL HELO_IP\n")
    assert done.stderr == "postern: 2 lines of the journal are no records, and not counted\n"
