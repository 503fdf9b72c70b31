"""Jobs that do what no job should: to their process, their descriptors, their memory, their children."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
from typing import Any

from taskscheduler import Job
from tests.support.jobs import trace
from tests.support.nodes import descendants

_NOBODY = 65534


class ClosesDescriptors(Job):
    """Closes every descriptor, with it the way to report how it ended; then does what the data says."""

    name = "closes_descriptors"

    def start(self) -> None:
        trace(self.data["trace"], self.id, self.attempt, os.getpid())
        os.closerange(0, 4096)
        if self.data.get("then") == "wait":
            threading.Event().wait()


class ReplacesDescriptors(Job):
    """Puts other sockets in the place of all descriptors, as a careless daemon would."""

    name = "replaces_descriptors"

    def start(self) -> None:
        stranger = os.pipe()[1]
        for descriptor in range(3, 64):
            if descriptor != stranger:
                os.dup2(stranger, descriptor)


class ExitsAs(Job):
    """Ends its process with the exit code in the data, past all `finally`."""

    name = "exits_as"

    def start(self) -> None:
        os._exit(self.data)


class EndsBySignal(Job):
    """Sends itself the signal in the data."""

    name = "ends_by_signal"

    def start(self) -> None:
        os.kill(os.getpid(), self.data)
        threading.Event().wait()


class KillsManager(Job):
    """Kills the worker manager the first time, and says what it has become afterwards."""

    name = "kills_manager"

    def start(self) -> int:
        if self.attempt == 1:
            os.kill(os.getppid(), signal.SIGKILL)
            threading.Event().wait()
        return self.attempt


class EatsMemory(Job):
    """Takes memory until there is none; with `limit` (bytes) it sets itself a limit first."""

    name = "eats_memory"

    def start(self) -> int:
        if "limit" in self.data:
            resource.setrlimit(resource.RLIMIT_AS, (self.data["limit"], self.data["limit"]))
        taken = []
        while True:
            try:
                taken.append(bytearray(8 << 20))
            except MemoryError:
                if not self.data.get("stubborn"):
                    raise
                ctypes.memset(ctypes.CDLL(None).malloc(1 << 40) or 0, 1, 1)  # C code that does not look


class ForkBomb(Job):
    """Forks without end, and so do its children; each leaves its pid in the file that the data names."""

    name = "fork_bomb"

    def start(self) -> None:
        limit = self.data["limit"]
        if os.getuid() == 0:
            os.setuid(_NOBODY)  # no limit of this kind holds root
        resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
        pause = threading.Event()
        while True:
            try:
                if os.fork() == 0:
                    trace(self.data["trace"], self.id, self.attempt, os.getpid())
                    if self.data.get("setsid"):
                        os.setsid()
            except OSError:
                pause.wait(0.02)


class ForksAndReturns(Job):
    """Both the process and its fork return from the job; the fork before, as nothing is left of it afterwards."""

    name = "forks_and_returns"

    def start(self) -> int:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            trace(self.data, self.id, self.attempt, os.getpid())
        os.close(writer)
        if pid:
            os.read(reader, 1)
        os.close(reader)
        return os.getpid()


class LeavesDaemon(Job):
    """Starts a process in a session of its own that nobody waits for, then ends its own."""

    name = "leaves_daemon"

    def start(self) -> None:
        pid = subprocess.check_output(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!"], text=True)
        trace(self.data, self.id, self.attempt, pid.strip())
        os._exit(1)


class LeavesChild(Job):
    """Starts processes as the data says, leaves their pids in a file, and ends well."""

    name = "leaves_child"

    def start(self) -> int:
        commands = {
            "child": "exec sleep 1000",
            "deaf": "trap '' TERM HUP INT; sleep 1000 & sleep 1000; sleep 1000",
            "session": "exec setsid sleep 1000",
            "daemon": "setsid sh -c 'setsid sleep 1000 >/dev/null 2>&1 & sleep 1000' >/dev/null 2>&1 & exit",
            "dead": "exit 3",
        }
        process = subprocess.Popen(["sh", "-c", commands[self.data["how"]]])
        if self.data["how"] == "daemon":
            process.wait()
        while not (below := descendants(os.getpid())):
            pass
        trace(self.data["trace"], self.id, self.attempt, process.pid, *below)
        return os.getpid()


class WaitsForAnyChild(Job):
    """Waits for whatever child it has, and says which."""

    name = "waits_for_any_child"

    def start(self) -> int:
        try:
            return os.wait()[0]
        except ChildProcessError:
            return 0


class LeavesAlarm(Job):
    """Ends well, but leaves a timer behind that ends whatever the worker does next."""

    name = "leaves_alarm"

    def start(self) -> int:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        return os.getpid()


class LeavesThread(Job):
    """Ends, but leaves a thread behind that never does."""

    name = "leaves_thread"

    def start(self) -> int:
        threading.Thread(target=threading.Event().wait).start()
        return os.getpid()


class DefiesSignals(Job):
    """Ends well after it has taken every handler away from its worker."""

    name = "defies_signals"

    def start(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_IGN)
        return os.getpid()


class FailsAloud(Job):
    """Raises an exception with a message of as many bytes as the data says."""

    name = "fails_aloud"

    def start(self) -> None:
        raise ValueError("x" * self.data)


class Talks(Job):
    """Reports progress without a pause and writes to both standard streams."""

    name = "talks"

    def start(self) -> str:
        for number in range(20_000):
            self.update_progress(number % 100, message="x" * 2000)
            if number % 100 == 0:
                sys.stdout.write("x" * 10_000)
                sys.stderr.write("y" * 10_000)
        self.update_progress(99.5, message="the end")
        return "said"


class Returns(Job):
    """Returns as many MB as the data says, in the shape that it says."""

    name = "returns"

    def start(self) -> Any:
        size = self.data["mb"] << 20
        return {"bytes": bytes(size)} if self.data["shape"] == "bytes" else list(range(size // 11))
