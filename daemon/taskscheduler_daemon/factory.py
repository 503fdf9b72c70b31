"""Builds the worker manager and its workers; an application may bring its own factory."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol

from bson import ObjectId

from taskscheduler.errors import InvalidOptionError, SchedulerError
from taskscheduler.jobs.executor import Container
from taskscheduler.model.exception_texts import loggable
from taskscheduler.scheduler import Scheduler
from taskscheduler_daemon.job_modules import import_modules
from taskscheduler_daemon.manager.manager import WorkerManager
from taskscheduler_daemon.worker.worker import Worker

logger = logging.getLogger(__name__)


class WorkerFactory(Protocol):
    """Builds the manager and each worker. Called in the new process, so open connections there, not before.

    An implementation imports the modules of its jobs and makes a Scheduler of its own:

        class MyFactory:
            def build_manager(self):
                return WorkerManager(self, pm="static", min_children=10)

            def build_worker(self, id):
                import myapp.jobs
                return Worker(id, Scheduler("mongodb://host/app"), container=myapp.container())
    """

    def build_manager(self) -> WorkerManager: ...

    def build_worker(self, id: ObjectId, /) -> Worker: ...


def check_factory(factory: Any) -> None:
    """Raises InvalidOptionError unless it is an object with the methods of a WorkerFactory."""
    if isinstance(factory, type):
        raise InvalidOptionError(f"the worker factory must be an object, not a class: give {factory.__name__}()")
    for method in ("build_manager", "build_worker"):
        if not callable(getattr(factory, method, None)):
            raise InvalidOptionError(f"the worker factory {type(factory).__name__} has no method {method}")


def built_manager(factory: WorkerFactory) -> WorkerManager | None:
    """Returns the manager that a factory builds; None if it fails, and logs why."""
    try:
        manager: Any = factory.build_manager()
    except SchedulerError as error:
        logger.error("the worker factory cannot build a manager: %s", error)
        return None
    except BaseException as error:  # also SystemExit: whatever it raises, there is no manager
        logger.error("the worker factory cannot build a manager", exc_info=loggable(error))
        return None
    if isinstance(manager, WorkerManager):
        return manager
    logger.error("build_manager must return a WorkerManager, not %s", type(manager).__name__)
    return None


class ModuleWorkerFactory:
    """The default factory: imports the job modules in each worker, or in the manager where that is harmless."""

    def __init__(
        self,
        scheduler: Scheduler,
        modules: Sequence[str],
        container: Container | None,
        pool: dict[str, Any],
        preload: bool = False,
    ) -> None:
        self._scheduler = scheduler
        self._modules = modules
        self._container = container
        self._pool = pool
        self._preload = preload

    def build_manager(self) -> WorkerManager:
        """Builds the manager with the options of the pool."""
        if self._preload:
            import_modules(self._modules)
        return WorkerManager(self, **self._pool)

    def build_worker(self, id: ObjectId, /) -> Worker:
        """Imports the job modules and builds a worker."""
        import_modules(self._modules)
        return Worker(id, self._scheduler, self._container)
