"""scripts/configure, which lets `make build`, `make run`, `make check` and `make bench` share build/ in any order."""
import json
import os
import subprocess

import pytest

from lib.postern import ROOT

CONFIGURE = os.path.join(ROOT, "scripts", "configure")


@pytest.fixture
def project(folder):
    """A project with the option `tests` of ours, and no code."""
    for name, text in (("meson.build", "project('a')\n"),
                       ("meson_options.txt", "option('tests', type: 'feature', value: 'auto')\n")):
        with open(os.path.join(folder, name), "w", encoding="ascii") as file:
            file.write(text)
    return folder


def configure(project, *options):
    subprocess.run([CONFIGURE, "build", *options], cwd=project, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   check=True)


def option(project, name):
    done = subprocess.run(["meson", "introspect", "build", "--buildoptions"], cwd=project, stdout=subprocess.PIPE,
                          text=True, check=True)
    return next(row["value"] for row in json.loads(done.stdout) if row["name"] == name)


def written(project):
    return os.stat(os.path.join(project, "build", "build.ninja")).st_mtime_ns


def test_a_folder_that_was_set_up_without_tests_gets_them_when_they_are_wanted(project):
    configure(project)
    assert option(project, "tests") == "auto"
    configure(project, "-Dtests=enabled")
    assert option(project, "tests") == "enabled"


def test_a_command_that_wants_less_leaves_the_folder_as_it_is(project):
    configure(project, "-Dtests=enabled", "-Dwerror=true")
    before = written(project)
    configure(project)
    configure(project, "-Dwerror=true")
    assert option(project, "tests") == "enabled" and written(project) == before
