"""Reloader: runs a node until a file changes, then another one with the new code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple, Protocol

from taskscheduler_daemon.cli.reloading.sources import expected_files
from taskscheduler_daemon.cli.reloading.watched_files import WatchedFiles
from taskscheduler_daemon.presentation.terminal import remark
from taskscheduler_daemon.system.interrupts import InterruptibleQueue
from taskscheduler_daemon.system.node_subprocess import NodeSubprocess

_PROBE = "taskscheduler_daemon.cli.reloading.probe"

_CHILD = "taskscheduler_daemon.cli.child"

_LOOK = 0.5  #: seconds between two looks at all files: it takes 1 ms for 300
_IMPORTED = 0.05  #: seconds between two looks whether the import has ended
_SETTLED = 0.2  #: seconds without a change after which an editor has written all of them


class Pages(Protocol):
    """The web pages, which know the jobs of the modules that they are given."""

    def serve(self, modules: Sequence[str]) -> AbstractContextManager[None]: ...


class NodeCommand(NamedTuple):
    """How the node is started."""

    arguments: Sequence[str]
    environment: dict[str, str]
    ends_within: float  #: seconds that it takes to stop, with those that its jobs get


class Reloader:
    """Runs a node with the job modules. If they cannot be imported, none runs until a file changes."""

    def __init__(self, modules: Sequence[str], node: NodeCommand, pages: Pages | None) -> None:
        self._modules = modules
        self._node = node
        self._pages = pages
        self._files = WatchedFiles()
        self._waiting: InterruptibleQueue[None] = InterruptibleQueue()

    def run(self) -> None:
        """Goes on until SIGINT, SIGTERM or SIGHUP, and then stops the node."""
        with self._waiting.signals():
            while not self._waiting.ending:
                self._run_until_a_change(self._examine())

    def _run_until_a_change(self, wrong: str) -> None:
        if self._waiting.ending:
            return
        with ExitStack() as stack:
            stack.enter_context(self._serve_pages([] if wrong else self._modules))
            if wrong:
                remark(f"taskscheduler: {wrong}")
                remark("taskscheduler: no node runs until a file changes")
                node = None
            else:
                node = stack.enter_context(
                    self._process(_CHILD, ["node", *self._node.arguments], ends_within=self._node.ends_within)
                )
            self._wait_for_a_change(node)
            if not self._waiting.ending:
                names = ", ".join(os.path.relpath(file) for file in self._files.changed())
                remark(f"taskscheduler: {names} changed; the node {'starts' if wrong else 'restarts'}")

    def _serve_pages(self, modules: Sequence[str]) -> AbstractContextManager[None]:
        return nullcontext() if self._pages is None else self._pages.serve(modules)

    def _wait_for_a_change(self, node: NodeSubprocess | None) -> None:
        while not self._waiting.ending and not self._files.changed():
            if node is not None and (code := node.ended()) is not None:
                remark(f"taskscheduler: the node has ended with exit code {code}; it starts again when a file changes")
                node = None
            self._waiting.take(_LOOK)
        before = None
        while not self._waiting.ending and before != (before := self._files.now()):
            self._waiting.take(_SETTLED)

    def _examine(self) -> str:
        """Has the modules imported elsewhere, and watches their files; returns what is wrong with them, or nothing."""
        self._files.about_to_read()
        with TemporaryFile() as answer:
            arguments = [str(answer.fileno()), *self._modules]
            with self._process(_PROBE, arguments, descriptors=[answer.fileno()], ends_within=1) as probe:
                while (code := probe.ended()) is None and not self._waiting.ending:
                    self._waiting.take(_IMPORTED)
            answer.seek(0)
            said = answer.read()
        found = json.loads(said) if code == 0 and said else {}
        self._files.add(found.get("files") or expected_files(self._modules, Path.cwd()))
        ended = f"importing {', '.join(self._modules)} ended the process with exit code {code}"
        return str(found.get("wrong", ended))

    def _process(self, module: str, arguments: Sequence[str], **more: Any) -> NodeSubprocess:
        environment = self._node.environment
        return NodeSubprocess(module, arguments, log=sys.stderr.buffer, environment=environment, **more)
