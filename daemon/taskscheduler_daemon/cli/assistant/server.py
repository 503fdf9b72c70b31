"""The server of the Model Context Protocol: tells an assistant its tools, and calls them on behalf of this user."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from importlib.metadata import version
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from taskscheduler.errors import SchedulerError
from taskscheduler.model.audit.actions import Role
from taskscheduler.model.audit.actors import MCP, Actor
from taskscheduler.operations.audit.acting import acting_as
from taskscheduler.process_identity import this_user
from taskscheduler_daemon.cli.assistant.changing import Changing
from taskscheduler_daemon.cli.assistant.envelope import NOTE, enveloped
from taskscheduler_daemon.cli.assistant.reading import Reading
from taskscheduler_daemon.cli.database import OpenDatabase
from taskscheduler_daemon.presentation.terminal import one_line

_INSTRUCTIONS = f"""taskscheduler runs background jobs on nodes that share a MongoDB database. {NOTE}
Begin with `status`. `failures` says what goes wrong, `why` why a job waits, `job_logs` what a job has printed."""

_WRITES = " What changes something asks for a reason; tell the user before you use it."

Tool = Callable[..., Any]


def server_of(database: OpenDatabase, write: bool) -> MCPServer[Any]:
    """Returns a server with the tools that read and, with `write`, those that an operator may use."""
    actor = Actor(this_user(), Role.OPERATOR if write else Role.VIEWER, via=MCP)
    server = MCPServer[Any](
        "taskscheduler",
        instructions=_INSTRUCTIONS + (_WRITES if write else ""),
        version=version("mongo-taskscheduler"),
        log_level="WARNING",
    )
    reading, changing = Reading(database), Changing(database.scheduler)
    read = (reading.status, reading.list_jobs, reading.show_job, reading.why, reading.job_logs, reading.failures)
    _add(server, actor, read, ToolAnnotations(read_only_hint=True))
    if write:
        gentle = (changing.retry_job, changing.retry_jobs, changing.pause, changing.resume)
        _add(server, actor, gentle, ToolAnnotations(read_only_hint=False, destructive_hint=False))
        harsh = (changing.cancel_job, changing.cancel_jobs)
        _add(server, actor, harsh, ToolAnnotations(read_only_hint=False, destructive_hint=True))
    return server


def _add(server: MCPServer[Any], actor: Actor, tools: Iterable[Tool], annotations: ToolAnnotations) -> None:
    for tool in tools:
        server.add_tool(_served(tool, actor), annotations=annotations, structured_output=False)


def _served(tool: Tool, actor: Actor) -> Tool:
    """Returns the tool as it is called: for this actor, with its answer in an envelope and its errors in one line."""

    @wraps(tool)
    def call(*args: Any, **named: Any) -> str:
        try:
            with acting_as(actor):
                return enveloped(tool(*args, **named))
        except SchedulerError as error:
            raise ToolError(one_line(str(error))) from error

    return call
