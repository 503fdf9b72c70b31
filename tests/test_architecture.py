"""The rules of the layout: who may import what, who may fork, and what a plain import costs."""

from __future__ import annotations

import ast
import inspect
import logging
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

import taskscheduler

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / "scheduler"
DAEMON = ROOT / "daemon"

SPEAKS_TO_MONGODB = ("taskscheduler.store", "taskscheduler.embedded.replica_set")
PROCESSES = {"fork", "forkpty", "kill", "killpg", "wait", "waitpid", "wait3", "wait4", "waitid", "posix_spawn"}


def modules(root: Path) -> dict[str, Path]:
    """The files of all modules under a source root, by the names of the modules; not the settings of Sphinx."""
    found = {}
    for path in sorted({*root.rglob("*.py")} - {DAEMON / "docs" / "conf.py"}):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


ALL = modules(LIBRARY) | modules(DAEMON)


@cache
def parsed() -> dict[str, ast.Module]:
    """All modules, parsed: only by the process that runs these tests, not by all that collect them."""
    return {name: ast.parse(path.read_text(), str(path)) for name, path in ALL.items()}


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Every import in a module, also inside functions: the module and the name taken out of it, if one is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ""
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.module or "", alias.name


@cache
def imported() -> dict[str, list[tuple[str, str]]]:
    """The imports of each module."""
    return {name: list(imports(tree)) for name, tree in parsed().items()}


def belongs(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def test_the_modules_are_found() -> None:
    assert {"taskscheduler.model.lifecycle", "taskscheduler.store.claims", "taskscheduler_daemon.system.spawn"} <= set(
        ALL
    )


@pytest.mark.parametrize("folder", [LIBRARY, DAEMON])
def test_the_source_roots_are_no_packages(folder: Path) -> None:
    assert not (folder / "__init__.py").exists()
    packages = {name.partition(".")[0] for name in modules(folder)}
    assert packages == {"taskscheduler" if folder is LIBRARY else "taskscheduler_daemon"}


def importing(foreign: str) -> set[str]:
    """The modules that import this package or a part of it."""
    return {name for name, found in imported().items() if any(belongs(module, foreign) for module, _ in found)}


def test_every_module_says_in_its_first_line_what_it_is_for() -> None:
    first = {name: (ast.get_docstring(tree) or "").split("\n")[0] for name, tree in parsed().items()}
    assert {name for name, line in first.items() if len(line) <= 15} == set()


@pytest.mark.parametrize("foreign", ["taskscheduler_daemon", "posix_ipc", "click", "rich"])
def test_the_library_knows_nothing_of_the_daemon_and_of_its_dependencies(foreign: str) -> None:
    assert {name for name in importing(foreign) if belongs(name, "taskscheduler")} == set()


def test_mongodb_is_spoken_in_the_store_only() -> None:
    found = importing("pymongo")
    assert found
    assert {name for name in found if not any(belongs(name, place) for place in SPEAKS_TO_MONGODB)} == set()


READS = {
    "find",
    "find_one",
    "find_one_and_update",
    "find_one_and_delete",
    "find_one_and_replace",
    "aggregate",
    "distinct",
}

LENIENT = {"read", "read_one", "read_ids", "read_some", "change_one", "each", "decoded"}

#: reads of the store whose documents pass no function of `lenient_reads`, and why they need not
READS_AS_THEY_ARE = {
    ("taskscheduler.store.job_lists", "_found"): "yields cursors of undecoded documents to `each`",
    ("taskscheduler.store.job_lists", "recent"): "the same",
    ("taskscheduler.store.job_lists", "_few"): "the same",
    ("taskscheduler.store.job_lists", "page_boundary"): "the same",
    ("taskscheduler.store.web.job_pages", "_edge"): "yields cursors of undecoded documents to `each`",
    ("taskscheduler.store.claims", "claim_one"): "decoded by `claimed_job`",
    ("taskscheduler.store.wakeups", "_open"): "yields a cursor of undecoded documents to `each`",
    ("taskscheduler.store.claims", "raw_document"): "for a worker, as it is stored",
    ("taskscheduler.store.control.places", "_may_run"): "asks the store of nodes",
    ("taskscheduler.store.control.rates", "take"): "only numbers, which the update has written",
    ("taskscheduler.store.control.sequences", "turns"): "the same",
    ("taskscheduler.store.metrics.history", "_totals"): "compares undecoded documents",
    ("taskscheduler.store.overview", "next_due"): "only a number",
    ("taskscheduler.store.postponed_jobs", "seconds_until_next"): "only a number",
}


def is_lenient(function: ast.expr) -> bool:
    """Whether this is a function of `lenient_reads`, or the method of the indexes on demand that calls one."""
    if isinstance(function, ast.Attribute):
        of = function.value
        return function.attr == "read" and isinstance(of, ast.Attribute) and of.attr == "_on_demand"
    return isinstance(function, ast.Name) and function.id in LENIENT


def strict_reads(tree: ast.Module) -> Iterator[str]:
    """The functions with a read of the driver outside of a call of a lenient one."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
            lenient = [call for call in calls if is_lenient(call.func)]
            within = {id(node) for call in lenient for node in ast.walk(call)}
            outside = [call for call in calls if id(call) not in within and isinstance(call.func, ast.Attribute)]
            if any(isinstance(call.func, ast.Attribute) and call.func.attr in READS for call in outside):
                yield function.name


def test_the_store_reads_documents_so_that_an_odd_one_hides_no_other() -> None:
    store = {name: tree for name, tree in parsed().items() if belongs(name, "taskscheduler.store")}
    del store["taskscheduler.store.lenient_reads"]
    found = {(name, function) for name, tree in store.items() for function in strict_reads(tree)}
    assert found == set(READS_AS_THEY_ARE)


def test_only_one_folder_forks_kills_and_waits() -> None:
    assert importing("multiprocessing") == set()
    for name, tree in parsed().items():
        if belongs(name, "taskscheduler_daemon.system"):
            continue
        called = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
        }
        taken = {taken for module, taken in imported()[name] if module == "os"}
        assert not (called | taken) & PROCESSES, name


def test_the_folder_that_forks_is_found_by_this_rule() -> None:
    trees = [tree for name, tree in parsed().items() if belongs(name, "taskscheduler_daemon.system")]
    used = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert {"fork", "kill", "killpg", "waitpid"} <= used & PROCESSES


# -- circles, widths, sizes -------------------------------------------------------------------------------------------

#: constructors of more than seven arguments, each with the reason why it is not divided
LONG_CONSTRUCTORS: dict[str, str] = {}

#: classes of more than fifteen public methods, each with the reason why it is not divided
BIG_CLASSES: dict[str, str] = {
    "taskscheduler.aio.scheduler.AsyncScheduler": "the public twin of Scheduler: one line for each method",
    "taskscheduler.calendars.schedule.Schedule": "one property for each field of a schedule that users read",
    "taskscheduler.model.process_state.ProcessState": "one property for each field of a job that users read",
    "taskscheduler.scheduler.Scheduler": "public; each method calls one operation",
}

#: functions that a constructor takes, each with the reason why it is not an object
CALLBACKS: dict[str, str] = {
    "taskscheduler.declarations.registry.JobSpec.function": "the function of the user that the job calls",
    "taskscheduler.declarations.signature.Signature.function": "the function of the user whose parameters it reads",
    "taskscheduler_daemon.node.manager_messages.ManagerMessages.announce": "events to handlers of the user",
    "taskscheduler_daemon.node.session.Session.announce": "events to handlers of the user",
    "taskscheduler_daemon.system.threads.SessionThreads.on_crash": "the threads are below the session that they end",
}

WIDEST_FOLDER = 28


@cache
def dependencies() -> dict[str, set[str]]:
    """Which module imports which, also only for types; names that a package offers count as the package."""
    graph: dict[str, set[str]] = {}
    for name in ALL:
        found = {
            module if not taken or f"{module}.{taken}" not in ALL else f"{module}.{taken}"
            for module, taken in imported()[name]
        }
        graph[name] = {module for module in found if module in ALL and module != name}
    return graph


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that depend on each other."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        left = list(graph[start])
        while left:
            one = left.pop()
            if one not in seen:
                seen.add(one)
                left += graph.get(one, ())
        reach[start] = seen
    found = {tuple(sorted(other for other in reach[one] if one in reach[other])) for one in graph if one in reach[one]}
    return [list(group) for group in sorted(found)]


def test_no_files_depend_on_each_other_in_a_circle() -> None:
    faces = {name for name in ALL if is_face(name)}
    assert circles({name: found - faces for name, found in dependencies().items() if name not in faces}) == []


def is_face(name: str) -> bool:
    """Whether it is the `__init__` of a package."""
    root = LIBRARY if belongs(name, "taskscheduler") else DAEMON
    return (root / name.replace(".", "/")).is_dir()


@pytest.mark.parametrize("folder", [name for name in ALL if is_face(name)])
def test_no_folders_depend_on_each_other_in_a_circle(folder: str) -> None:
    depth = folder.count(".") + 2

    def child(name: str) -> str:
        return ".".join(name.split(".")[:depth])

    graph: dict[str, set[str]] = {}
    for name, found in dependencies().items():
        if belongs(name, folder) and name != folder:
            inside = {child(one) for one in found if belongs(one, folder) and one != folder}
            graph.setdefault(child(name), set()).update(inside - {child(name)})
    assert circles(graph) == []


def test_no_folder_is_too_wide_to_look_through() -> None:
    folders = {path.parent for root in (LIBRARY, DAEMON) for path in root.rglob("*.py")}
    wide = {str(folder.relative_to(ROOT)) for folder in folders if len(list(folder.glob("*.py"))) > WIDEST_FOLDER}
    assert wide == set()


def test_no_module_imports_what_another_one_keeps_to_itself() -> None:
    taken = {
        f"{name}: {module}.{one}"
        for name, found in imported().items()
        for module, one in found
        if one.startswith("_") and module in ALL
    }
    assert taken == set()


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for name, tree in parsed().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                yield f"{name}.{node.name}", node


def constructors() -> Iterator[tuple[str, list[ast.arg]]]:
    """The constructor of each class: its arguments without `self`."""
    for name, cls in classes():
        for node in cls.body:
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                yield name, [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs][1:]


def test_no_constructor_takes_more_than_seven_arguments() -> None:
    assert {name for name, arguments in constructors() if len(arguments) > 7} == set(LONG_CONSTRUCTORS)


def test_no_class_has_more_than_fifteen_public_methods() -> None:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    big = {
        name
        for name, cls in classes()
        if len({one.name for one in cls.body if isinstance(one, functions) and not one.name.startswith("_")}) > 15
    }
    assert big == set(BIG_CLASSES)


def test_constructors_take_objects_not_functions() -> None:
    """Who calls a function that came in through a constructor cannot be found by its name."""
    taken = {
        f"{name}.{one.arg}"
        for name, arguments in constructors()
        for one in arguments
        if one.annotation is not None and "Callable" in ast.unparse(one.annotation)
    }
    assert taken == set(CALLBACKS)


# -- what an application sees -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", taskscheduler.__all__)
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    assert inspect.getdoc(getattr(taskscheduler, name))


def test_the_public_names_are_complete() -> None:
    assert len(taskscheduler.__all__) == len(set(taskscheduler.__all__))  # ruff keeps them in order
    public = {
        name for name, value in vars(taskscheduler).items() if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public <= set(taskscheduler.__all__)


PUBLIC_CLASSES = [
    value for value in (getattr(taskscheduler, name) for name in taskscheduler.__all__) if inspect.isclass(value)
]


@pytest.mark.parametrize("cls", PUBLIC_CLASSES, ids=lambda cls: str(cls.__name__))
def test_every_public_method_is_documented(cls: type) -> None:
    methods = {name: member for name, member in vars(cls).items() if inspect.isfunction(member) and name[0] != "_"}
    assert [name for name, method in methods.items() if not inspect.getdoc(method)] == []


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after a statement."""
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_importing_the_library_loads_neither_the_daemon_nor_what_only_it_needs() -> None:
    loaded = loaded_by("import taskscheduler")
    assert "taskscheduler.scheduler" in loaded
    assert not loaded & {"taskscheduler_daemon", "posix_ipc", "click", "rich", "multiprocessing"}


def test_what_is_logged_does_not_hide_what_every_record_has() -> None:
    """`logging` raises KeyError for these, and only when the line is logged: in the worst moment."""
    taken = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
    for module, tree in parsed().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "extra" and isinstance(node.value, ast.Dict):
                names = {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
                assert not names & taken, f"{module}: {names & taken}"
