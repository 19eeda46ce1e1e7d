"""Where the demo's files lie: build/demo is a link to a folder among the temporary ones.

Root's demo has programs that are not root: spamd, the gateway's workers, its store. Below root's home, which is closed
to everybody else, they could not even enter their folder. A clone may also lie too deep for the names of Unix sockets.
So the files lie elsewhere, and the reader finds them where the README says. The folder stays, as its mail and its
journal are there to be looked at, and serves the next time; `make clean` removes it.
"""
import os
import shutil
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "e2e"))
from lib.public import is_public, make_public_folder  # noqa: E402  (behind the path that makes it found)

PREFIX = "postern-demo-"


def is_ours(path):
    """True for a folder that an earlier demo of this user made, which no other user could have put there."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return (os.path.basename(path).startswith(PREFIX) and stat.S_ISDIR(found.st_mode)
            and found.st_uid == os.geteuid() and is_public(path))


def remove(link):
    """The link and the folder that it leads to."""
    if os.path.islink(link):
        folder = os.readlink(link)
        if is_ours(folder):
            shutil.rmtree(folder)
        os.unlink(link)
    elif os.path.exists(link):
        shutil.rmtree(link)


def take(link):
    """Returns the folder that `link` leads to; both are made where they are missing."""
    if os.path.islink(link) and is_ours(os.readlink(link)):
        return os.readlink(link)
    remove(link)
    os.makedirs(os.path.dirname(link), exist_ok=True)
    folder = make_public_folder(PREFIX)
    os.symlink(folder, link)
    return folder


if __name__ == "__main__":
    remove(sys.argv[1])
