"""The command line alone: wrong use says how it is right and ends with 64, and never starts anything."""
import subprocess

import pytest

from lib.postern import COMMANDS, PROGRAM


def postern(*arguments):
    return subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10,
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
