"""`manage.py taskscheduler …`: the command line, on the database of TASKS and with the tasks of all applications."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from taskscheduler_daemon.cli import main
from taskscheduler_daemon.contrib.django.backend import TaskSchedulerBackend
from taskscheduler_daemon.contrib.django.framework import task_backends

_JOBS = "taskscheduler_daemon.contrib.django.discovered"


class Command(BaseCommand):
    """Runs a command of taskscheduler: `manage.py taskscheduler node`, `… list`, `… --help`."""

    help = "Run a command of taskscheduler with the tasks of this project, for example: taskscheduler node"

    def run_from_argv(self, argv: list[str]) -> None:
        """Passes all arguments on, also `--help`."""
        self.handle(arguments=argv[2:])

    def add_arguments(self, parser: CommandParser) -> None:
        """For `call_command`."""
        parser.add_argument("arguments", nargs="*")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Ends the process with the exit code of the command, if that is not 0."""
        for backend in task_backends.all():
            if isinstance(backend, TaskSchedulerBackend) and backend.options.get("uri"):
                os.environ.setdefault("TASKSCHEDULER_URI", backend.options["uri"])
                break
        os.environ.setdefault("TASKSCHEDULER_JOBS", _JOBS)
        if code := main(given["arguments"]):
            sys.exit(code)
