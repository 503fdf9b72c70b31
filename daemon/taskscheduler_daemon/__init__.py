"""What runs on a node: queue node, worker manager, workers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskscheduler_daemon.background import start_node, stop_node
    from taskscheduler_daemon.factory import ModuleWorkerFactory, WorkerFactory
    from taskscheduler_daemon.manager.manager import WorkerManager
    from taskscheduler_daemon.node.node import QueueNode, WorkerEvent
    from taskscheduler_daemon.worker.worker import Worker

__all__ = [
    "ModuleWorkerFactory",
    "QueueNode",
    "Worker",
    "WorkerEvent",
    "WorkerFactory",
    "WorkerManager",
    "start_node",
    "stop_node",
]

_HOMES = {
    "ModuleWorkerFactory": "factory",
    "QueueNode": "node.node",
    "Worker": "worker.worker",
    "WorkerEvent": "node.node",
    "WorkerFactory": "factory",
    "WorkerManager": "manager.manager",
    "start_node": "background",
    "stop_node": "background",
}


def __getattr__(name: str) -> Any:
    """Imports a public name on first use: the command line lives in this package and need not wait for the rest."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Lists the public names for `help`, completion and the documentation."""
    return __all__
