"""The rules of the layout: who may import what, who may fork, and what a plain import costs."""

from __future__ import annotations

import ast
import inspect
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import taskscheduler

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / "scheduler"
DAEMON = ROOT / "daemon"

SPEAKS_TO_MONGODB = ("taskscheduler.store", "taskscheduler.embedded.replica_set")
PROCESSES = {"fork", "forkpty", "kill", "killpg", "wait", "waitpid", "wait3", "wait4", "waitid", "posix_spawn"}


def modules(root: Path) -> dict[str, ast.Module]:
    """All modules under a source root, parsed, by their names."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(), str(path))
    return found


ALL = modules(LIBRARY) | modules(DAEMON)


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Every import in a module, also inside functions: the module and the name taken out of it, if one is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ""
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.module or "", alias.name


def belongs(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def test_the_modules_are_found() -> None:
    assert {"taskscheduler.model.lifecycle", "taskscheduler.store.claims", "taskscheduler_daemon.system.spawn"} <= set(
        ALL
    )


@pytest.mark.parametrize("folder", [LIBRARY, DAEMON])
def test_the_source_roots_are_no_packages(folder: Path) -> None:
    assert not (folder / "__init__.py").exists()
    packages = {path.relative_to(folder).parts[0] for path in folder.rglob("*.py")}
    assert packages == {"taskscheduler" if folder is LIBRARY else "taskscheduler_daemon"}


@pytest.mark.parametrize("name", ALL)
def test_every_module_says_in_its_first_line_what_it_is_for(name: str) -> None:
    said = ast.get_docstring(ALL[name])
    assert said
    assert len(said.splitlines()[0]) > 15


@pytest.mark.parametrize("name", [name for name in ALL if belongs(name, "taskscheduler")])
def test_the_library_knows_nothing_of_the_daemon_and_of_its_dependencies(name: str) -> None:
    for module, _ in imports(ALL[name]):
        for foreign in ("taskscheduler_daemon", "posix_ipc", "click", "rich"):
            assert not belongs(module, foreign)


@pytest.mark.parametrize("name", ALL)
def test_mongodb_is_spoken_in_the_store_only(name: str) -> None:
    if not any(belongs(name, place) for place in SPEAKS_TO_MONGODB):
        assert not [module for module, _ in imports(ALL[name]) if belongs(module, "pymongo")]


@pytest.mark.parametrize("name", [name for name in ALL if not belongs(name, "taskscheduler_daemon.system")])
def test_only_one_module_forks_kills_and_waits(name: str) -> None:
    called = {
        node.attr
        for node in ast.walk(ALL[name])
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    taken = {taken for module, taken in imports(ALL[name]) if module == "os"}
    assert not (called | taken) & PROCESSES
    assert not [module for module, _ in imports(ALL[name]) if belongs(module, "multiprocessing")]


def test_the_module_that_forks_is_found_by_this_rule() -> None:
    trees = [tree for name, tree in ALL.items() if belongs(name, "taskscheduler_daemon.system")]
    used = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert {"fork", "kill", "killpg", "waitpid"} <= used & PROCESSES


# -- what an application sees -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", taskscheduler.__all__)
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    assert inspect.getdoc(getattr(taskscheduler, name))


def test_the_public_names_are_in_order_and_complete() -> None:
    assert taskscheduler.__all__ == sorted(set(taskscheduler.__all__))
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


@pytest.mark.parametrize("module", sorted(ALL))
def test_what_is_logged_does_not_hide_what_every_record_has(module: str) -> None:
    """`logging` raises KeyError for these, and only when the line is logged: in the worst moment."""
    taken = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
    for node in ast.walk(ALL[module]):
        if isinstance(node, ast.keyword) and node.arg == "extra" and isinstance(node.value, ast.Dict):
            names = {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
            assert not names & taken, f"{module}: {names & taken}"
