"""A folder that every user of the machine may enter.

Programs that root starts give up root: spamd, workers and the store of Postern, PostgreSQL, rbldnsd. They reach
nothing below a folder of mode 0700, which root's home is, and root's own folder for temporary files where each user has
one of his own. Names of Unix sockets are short besides (107 bytes), so that what runs must not lie deep.
"""
import os
import tempfile

PLACES = ("/tmp", "/var/tmp")


def is_public(path):
    """True when everybody may pass through `path` and the folders that it lies in."""
    path = os.path.realpath(path)
    while os.stat(path).st_mode & 0o001:
        if path == "/":
            return True
        path = os.path.dirname(path)
    return False


def public_place():
    """Where temporary folders go that everybody may enter."""
    return next(path for path in (tempfile.gettempdir(), *PLACES) if is_public(path))


def make_public_folder(prefix):
    """A new one, by its path."""
    folder = tempfile.mkdtemp(prefix=prefix, dir=public_place())
    os.chmod(folder, 0o755)
    return folder
