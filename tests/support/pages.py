"""Pages of the documentation as something to run and to check: code blocks, scripts made of them, names in them."""

from __future__ import annotations

import ast
import builtins
import contextlib
import inspect
import io
import re
import shlex
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click

from taskscheduler import AsyncScheduler, Job, Process, Scheduler, Service, Status
from taskscheduler.model.audit.actions import Role
from taskscheduler.model.batches.options import BATCH_CHECKS
from taskscheduler.model.control.reasons import Code
from taskscheduler.model.options import JOB_CHECKS, SCHEDULER_CHECKS
from taskscheduler.operations.programs import Record
from taskscheduler_daemon import QueueNode, Worker, WorkerManager
from taskscheduler_daemon.cli.group import cli
from taskscheduler_daemon.manager.pool.options import POOL_CHECKS
from taskscheduler_daemon.monitoring.families import FAMILIES
from taskscheduler_daemon.node.options import NODE_CHECKS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "daemon" / "docs"

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# (\w+)\.py\n")
_EXPECTED = re.compile(r"  # -> (.+)$")
_SPAN = re.compile(r"`([^`]+)`")
_KEYWORD = re.compile(r"(\w+)=(.+)")
_OPTION = re.compile(r"--[a-z-]+")

_PARSING = threading.Lock()  #: Python 3.11 counts how deep it is for all threads together, and gives up if it differs

_SCHEDULER = Scheduler("mongodb://host/app")

#: what the pages call their objects
_OBJECTS: dict[str, Any] = {
    "scheduler": Scheduler,
    "process": Process(_SCHEDULER, {"_id": None, "status": Status.WAITING}),
    "self": Service,  # a job, too
    "record": Record,
    "worker": Worker,
    "node": QueueNode,
}
_MADE: dict[str, type] = {cls.__name__: cls for cls in (Scheduler, AsyncScheduler, QueueNode, Worker, WorkerManager)}
_OPTIONS = {*JOB_CHECKS, *BATCH_CHECKS, *SCHEDULER_CHECKS, *NODE_CHECKS, *POOL_CHECKS}


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code."""

    language: str
    text: str

    @property
    def module(self) -> str | None:
        """The name of the module that it is, if its first line says `# name.py`."""
        found = _FILE.match(self.text) if self.language == "python" else None
        return found.group(1) if found else None


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page in order."""
    return [Block(*found) for found in _BLOCK.findall(page)]


def modules(page: str) -> dict[str, str]:
    """The modules that a page defines: name and text."""
    return {block.module: block.text for block in blocks(page) if block.module}


def script(page: str) -> str:
    """The other Python blocks of a page as one program, in which every `expression  # -> value` is an assertion."""
    program = []
    with _PARSING:
        for block in blocks(page):
            if block.language == "python" and not block.module:
                tree = _Asserting(block.text.splitlines()).visit(ast.parse(block.text))
                program.append(ast.unparse(ast.fix_missing_locations(tree)))
    return "\n".join(program)


class _Asserting(ast.NodeTransformer):
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        assert node.end_lineno is not None
        expected = _EXPECTED.search(self._lines[node.end_lineno - 1])
        if expected is None:
            return node
        text = f"shown = {ast.unparse(node.value)}; assert shown == ({expected.group(1)}), repr(shown)"
        return ast.If(ast.Constant(True), ast.parse(text).body, [])


def shells(page: str) -> list[str]:
    """The shell blocks of a page that come to an end by themselves."""
    endless = re.compile(r"^taskscheduler (dev|demo|web|node)\b(?! stop)", re.MULTILINE)
    return [block.text for block in blocks(page) if block.language == "sh" and not endless.search(block.text)]


def wrong_names(page: str) -> list[str]:
    """Every code span, and every line of a shell block, that names something that does not exist."""
    own = {name for text in modules(page).values() for name in _identifiers(ast.parse(text))}
    own |= set(_identifiers(ast.parse(script(page))))
    own |= {word for block in blocks(page) if block.language == "js" for word in re.findall(r'"(\w+)"', block.text)}
    spans = list(_spans(page))
    wrong = [span for span, theirs in spans if not _is_right(span, own | theirs)]
    shell = [block.text.replace("\\\n", " ") for block in blocks(page) if block.language == "sh"]
    lines = [line for text in shell for line in text.splitlines()]
    commands = [line for line in lines if line.startswith("taskscheduler ")]
    return wrong + [line for line in commands if not _is_command(line)]


def _spans(page: str) -> Iterator[tuple[str, set[str]]]:
    """Code spans with the names that a table's first column, which is about the other system, makes known."""
    for line in _BLOCK.sub("", page).splitlines():
        if not line.startswith("| "):
            yield from ((span, set()) for span in _SPAN.findall(line) if _is_ours(span))
            continue
        there, _, here = line.removeprefix("| ").partition(" | ")
        theirs = set(re.findall(r"\w+", there))
        yield from ((span, theirs) for span in _SPAN.findall(here))


def _is_ours(span: str) -> bool:
    """Whether a span outside of a table is about taskscheduler for certain."""
    return span.startswith(("scheduler.", "process.", "self.", "taskscheduler ", "--"))


def _is_right(span: str, known: set[str]) -> bool:
    if span.startswith("taskscheduler "):
        return _is_command(span)
    if span.startswith("--"):
        return set(_OPTION.findall(span)) <= _flags()
    keyword = _KEYWORD.fullmatch(span)
    if keyword:
        return keyword.group(1) in _keywords()
    try:
        tree = ast.parse(span.replace("…", "..."), mode="eval").body
    except SyntaxError:
        return True  # a text, a path, JSON
    if isinstance(tree, ast.Name):
        return tree.id in known | _all_identifiers() | _flag_words()
    return all(_exists(node) for node in ast.walk(tree))


def _exists(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in _OBJECTS:
        owner = _OBJECTS[node.value.id]
        declared = [vars(cls).get("__annotations__", {}) for cls in getattr(owner, "__mro__", ())]
        namespaces = vars(_SCHEDULER) if owner is Scheduler else {}
        return hasattr(owner, node.attr) or node.attr in namespaces or any(node.attr in names for names in declared)
    if isinstance(node, ast.Call):
        taken = _parameters(_called(node.func))
        return taken is None or all(keyword.arg in taken for keyword in node.keywords if keyword.arg)
    return True


def _called(function: ast.expr) -> Any:
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return getattr(_OBJECTS.get(function.value.id), function.attr, None)
    return _MADE.get(function.id) if isinstance(function, ast.Name) else None


def _parameters(function: Any) -> set[str] | None:
    """The keywords that something takes; None if it is not known, or takes any."""
    if function is None:
        return None
    parameters = inspect.signature(function).parameters.values()
    names = {parameter.name for parameter in parameters}
    further = {parameter.name for parameter in parameters if parameter.kind is parameter.VAR_KEYWORD}
    if further - {"given", "options"}:
        return None  # names of the caller's choice
    return names | _OPTIONS if further else names


@cache
def _keywords() -> set[str]:
    methods = [method for cls in (Scheduler, Process, Job) for _, method in inspect.getmembers(cls, callable)]
    plain = [method for method in methods if inspect.isfunction(method)]
    return {name for method in plain for name in inspect.signature(method).parameters} | _OPTIONS


def _is_command(line: str) -> bool:
    """Whether the command line takes this; capital letters stand for a value."""
    words = ["null" if word == "-" else word for word in shlex.split(line.replace("…", ""), comments=True)[1:]]
    command: click.Command = cli
    try:
        while True:
            with contextlib.redirect_stdout(io.StringIO()):  # --help
                context = command.make_context("taskscheduler", words)
            if not isinstance(command, click.Group) or not (rest := _rest(context)):
                return True
            _, found, words = command.resolve_command(context, rest)
            assert found is not None
            command = found
    except (click.exceptions.Exit, click.MissingParameter):
        return True  # a command mentioned without its arguments
    except click.BadParameter:
        return any(re.fullmatch(r"\$?[A-Z]+", word) for word in words)
    except click.UsageError:
        return False


def _rest(context: click.Context) -> list[str]:
    return [*getattr(context, "_protected_args", []), *context.args]


def _commands(group: click.Group) -> Iterator[click.Command]:
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield command
            if isinstance(command, click.Group):
                yield from _commands(command)


@cache
def _flags() -> set[str]:
    options = [parameter for command in _commands(cli) for parameter in command.params]
    return {"--help", *(flag for parameter in options for flag in (*parameter.opts, *parameter.secondary_opts))}


@cache
def _flag_words() -> set[str]:
    """Environment variables of all options, and the names of the commands."""
    variables = {"TASKSCHEDULER_" + flag.lstrip("-").replace("-", "_").upper() for flag in _flags()}
    return variables | {command.name for command in _commands(cli) if command.name}


@cache
def _all_identifiers() -> set[str]:
    """Every identifier in the sources, also as a text."""
    sources = [*ROOT.glob("scheduler/**/*.py"), *ROOT.glob("daemon/**/*.py")]
    words = [*(status.label for status in Status), *(one.name.lower() for names in (Code, Role) for one in names)]
    words += [*tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]]
    words += [family.full_name for family in FAMILIES.values()]
    return {*dir(builtins), *words, *(name for path in sources for name in _identifiers(ast.parse(path.read_text())))}


def _identifiers(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name", "module", "value"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield value
