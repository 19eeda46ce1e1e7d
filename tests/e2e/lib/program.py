"""A program that a test runs: started in a folder with its output in a file there, looked at by polling, ended by its
process id."""
import os
import signal
import subprocess

from lib.wait import eventually

STOP_LIMIT_S = 60


def is_root():
    return os.geteuid() == 0


def tail(path, size=6000):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()[-size:]
    except OSError as error:
        return str(error)


class Program:
    """Subclasses set `name` and `output` (a path), and call launch()."""
    name = "program"

    def __init__(self, folder):
        self.folder = folder
        self.output = os.path.join(folder, "output")
        self.process = None

    def launch(self, command, **options):
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options)

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait(self, within=STOP_LIMIT_S):
        """Returns the exit code."""
        return self.process.wait(timeout=within)

    def stop(self):
        """SIGTERM, and SIGKILL when that does not help in time. Returns the exit code."""
        if self.is_running():
            self.send_signal(signal.SIGTERM)
            try:
                return self.wait()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.wait()
                what = f"{self.name} did not end within {STOP_LIMIT_S} s of SIGTERM"
                raise AssertionError(f"{what}\n{self.report()}") from None
        return self.process.returncode if self.process else None

    def report(self):
        """What a failed test shows."""
        return f"---- {self.name}, {self.output}\n{tail(self.output)}"


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def kill(pid):
    """kill -9 of one process, waiting until it is gone."""
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_alive(pid), f"process {pid} gone")
