"""The loop of `taskscheduler top`: keys, signals and snapshots, until it is to end."""

from __future__ import annotations

import select
import signal

from taskscheduler_daemon.cli.database import OpenDatabase
from taskscheduler_daemon.cli.exit_codes import ExitCode
from taskscheduler_daemon.cli.top.drawing import draw
from taskscheduler_daemon.cli.top.reader import Reader
from taskscheduler_daemon.cli.top.snapshot import TABS, Snapshot, Table
from taskscheduler_daemon.cli.top.state import Screen
from taskscheduler_daemon.cli.top.terminal import Terminal
from taskscheduler_daemon.system.signal_pipe import SignalPipe

_ENDING = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: 128 + 15, signal.SIGHUP: 128 + 1}

_NOTHING_YET = Snapshot("reading ...", dict.fromkeys(TABS, Table((("", 0),), ("name",), ())))


def run(database: OpenDatabase, interval: float, fancy: bool) -> int:
    """Shows the cluster until a key or a signal ends that; returns the exit code."""
    signals = SignalPipe([signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH])
    reader = Reader(database, interval, signals)
    try:
        with Terminal(fancy) as terminal:
            reader.start()
            return _serve(terminal, reader, signals)
    finally:
        reader.stop()
        signals.close()


def _serve(terminal: Terminal, reader: Reader, signals: SignalPipe) -> int:
    screen = Screen()
    while not screen.quitting:
        snapshot = reader.snapshot or _NOTHING_YET
        _take_over(screen, reader)
        terminal.show(draw(screen, snapshot, *terminal.size(), reader.fault))
        ready = select.select([terminal.fileno(), signals.fileno()], [], [])[0]
        for number in signals.read() if signals.fileno() in ready else ():
            if number in _ENDING:
                return int(_ENDING[signal.Signals(number)])
        keys = terminal.keys() if terminal.fileno() in ready else []
        if keys is None:
            return int(ExitCode.OK)  # the terminal is gone
        for key in keys:
            command = screen.press(key, snapshot)
            if command is not None:
                screen.message = f"{command.verb} ..."
                reader.do(command)
    return int(ExitCode.OK)


def _take_over(screen: Screen, reader: Reader) -> None:
    """Shows what has become of the last command."""
    if reader.message is not None:
        screen.message, reader.message = reader.message, None
    if reader.details is not None:
        screen.show(reader.details)
        reader.details = None
