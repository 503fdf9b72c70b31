"""What runs on a node: queue node, worker manager, workers."""

from taskscheduler_daemon.factory import ModuleWorkerFactory, WorkerFactory
from taskscheduler_daemon.manager import WorkerManager
from taskscheduler_daemon.node import QueueNode, WorkerEvent
from taskscheduler_daemon.worker import Worker

__all__ = ["ModuleWorkerFactory", "QueueNode", "Worker", "WorkerEvent", "WorkerFactory", "WorkerManager"]
