"""FastAPI and Starlette: a scheduler that opens and closes with the application, as a dependency of its routes.

>>> app = FastAPI(lifespan=scheduler_lifespan("mongodb://host/app"))
>>> @app.post("/thumbnails", status_code=202)
... async def thumbnail(name: str, scheduler: SchedulerDependency) -> dict[str, str]:
...     process = await scheduler.submit(resize, name)
...     return {"id": process.id_text}
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends
from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from taskscheduler import AsyncScheduler, Scheduler, SchedulerError
from taskscheduler.connection import Source
from taskscheduler.jobs.default import as_default


def scheduler_lifespan(
    source: Source | None = None, **options: Any
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Returns a lifespan that opens an AsyncScheduler when the application starts and closes it when it ends.

    Takes what a Scheduler takes. It is the default scheduler, too: `await resize.add_async("a.png")` uses it. It
    connects on first use, so the application starts without a database. An application with a lifespan of its own
    enters it there: `async with scheduler_lifespan(uri)(app): yield`. InvalidOptionError for a wrong URI or option.
    """
    blocking = Scheduler(source, **options)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncScheduler.of(blocking) as scheduler:
            app.state.taskscheduler = scheduler
            with as_default(blocking):
                yield

    return lifespan


def get_scheduler(connection: HTTPConnection) -> AsyncScheduler:
    """Returns the scheduler of the application: for `Depends`. SchedulerError if its lifespan has not begun."""
    scheduler = getattr(connection.app.state, "taskscheduler", None)
    if not isinstance(scheduler, AsyncScheduler):
        raise SchedulerError("no scheduler is open: make the application with lifespan=scheduler_lifespan(...)")
    return scheduler


#: the scheduler of the application, as the type of a parameter of a route
SchedulerDependency = Annotated[AsyncScheduler, Depends(get_scheduler)]
