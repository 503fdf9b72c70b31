"""Forks: spawn() for children in a process group of their own, daemonize() for a session of its own.

Children leave by `os._exit`; the group is set on both sides of a fork.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from taskscheduler.errors import SchedulerError
from taskscheduler_daemon.system.exits import EXIT_CRASHED, EXIT_OK
from taskscheduler_daemon.system.private_descriptors import close_private, keep_private
from taskscheduler_daemon.system.procfs import thread_count
from taskscheduler_daemon.system.reap import wait_for
from taskscheduler_daemon.system.standard_streams import flush_standard_streams, read_nothing

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1

_PR_SET_NAME = 15

_PR_SET_CHILD_SUBREAPER = 36

_INHERITED_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}


class ForkError(SchedulerError):
    """The system refused a new process, or forking is not safe here."""


def _prctl(option: int, argument: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0)


def dying_with_parent(number: int) -> Callable[[], None]:
    """Returns a function for the child that asks the kernel for a signal when the parent dies.

    Everything is resolved before the fork, as little is safe between fork and exec.
    """
    if sys.platform != "linux":
        return int
    return partial(ctypes.CDLL(None).prctl, _PR_SET_PDEATHSIG, number, 0, 0, 0)


def set_title(title: str) -> None:
    """Sets the name of this process for `ps` and `top` (at most 15 characters)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, ctypes.c_char_p(title.encode()[:15]), 0, 0, 0)


def adopt_orphans() -> None:
    """Becomes the parent of orphaned descendants, so that none escapes."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def spawn(main: Callable[[], int], *, title: str, keep: Iterable[int], die_with_parent: bool) -> int:
    """Forks a child in a process group of its own that runs `main` and exits with its result; returns its pid.

    The child closes our private descriptors except those in `keep`, reads nothing from standard input, and
    starts with default signal handlers, none of them blocked.
    ForkError if this process has threads (a forked copy of a locked lock stays locked) or the system refuses.
    """
    if thread_count() > 1:
        names = ", ".join(thread.name for thread in threading.enumerate() if thread is not threading.main_thread())
        raise ForkError(f"cannot fork safely while this process has other threads ({names or 'not of Python'})")
    kept, parent = set(keep), os.getpid()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _INHERITED_SIGNALS)
    try:
        flush_standard_streams()
        gc.collect()  # garbage would be in the child for ever
        pid = os.fork()
    except OSError as error:
        raise ForkError(f"failed to spawn {title}: {error}") from error
    finally:
        if os.getpid() == parent:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    if pid == 0:
        _child(main, title, kept, parent if die_with_parent else None, blocked)
    try:
        os.setpgid(pid, pid)
    except OSError:
        pass  # the child was faster, or is gone already
    return pid


def _child(main: Callable[[], int], title: str, keep: set[int], parent: int | None, mask: Iterable[int]) -> None:
    code = EXIT_CRASHED
    # What exists now stays shared with the parent instead of being copied by collections, such as those before each
    # fork of a manager: these take a tenth of the time. The parent, whose objects come and go, freezes none.
    gc.freeze()
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in _INHERITED_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, set(mask) - _INHERITED_SIGNALS)
        if parent is not None:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # the parent died before the line above
                os._exit(EXIT_OK)
        close_private(keep)
        read_nothing()
        set_title(title)
        code = main()
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt):
            logger.exception("process ended by an exception", extra={"title": title})
    finally:
        flush_standard_streams()
        os._exit(code)


def daemonize(main: Callable[[int], int], output: Path, timeout: float) -> str:
    """Runs `main` in a session of its own, without a terminal; its output is appended to a file.

    `main` gets a descriptor. Returns what it wrote there, or "" if it ended or `timeout` seconds passed before.
    ForkError as `spawn`; OSError if the file cannot be written or the system refuses.
    """
    if thread_count() > 1:
        raise ForkError("cannot become a daemon while this process has other threads")
    log = _open_log(output)
    reader, writer = os.pipe()
    keep_private(writer)
    try:
        flush_standard_streams()
        pid = os.fork()
        if pid == 0:
            _detach(lambda: main(writer), reader, log)
        os.close(writer)
        wait_for(pid)
        return os.read(reader, 4096).decode(errors="replace") if select.select([reader], [], [], timeout)[0] else ""
    finally:
        os.close(reader)
        os.close(log)


def _open_log(path: Path) -> int:
    """Opens a log file, but not where a link leads: in a folder of others that could be any file."""
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(f"the log file {path} is a symbolic link; give the file that it leads to") from error
        raise


def _detach(main: Callable[[], int], reader: int, log: int) -> None:
    """Leaves session and parent, in a second child so that it can never get a terminal again."""
    code = EXIT_CRASHED
    try:
        os.setsid()
        if os.fork():
            os._exit(EXIT_OK)
        os.close(reader)
        for source, stream in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
            os.dup2(source, stream)
        code = main()
        flush_standard_streams()
    except BaseException:
        logger.exception("daemon ended by an exception")
    finally:
        os._exit(code)
