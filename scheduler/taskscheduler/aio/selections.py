"""AsyncSelection: the jobs that match, with the methods of Selection as coroutines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from itertools import islice
from typing import Any, Concatenate, ParamSpec

from taskscheduler.aio.process import AsyncProcess
from taskscheduler.facade import selections
from taskscheduler.facade.methods import AsyncMethods, coroutine
from taskscheduler.facade.selections import Selection
from taskscheduler.operations.selections.result import SelectionResult, tell_how_far

A = ParamSpec("A")

_PAGE = 100  #: jobs that are read at a time


def stepwise(
    verb: Callable[Concatenate[Selection, A], Iterator[SelectionResult]],
) -> Callable[Concatenate[AsyncSelection, A], Coroutine[Any, Any, SelectionResult]]:
    """Returns the steps of a verb as a coroutine function: each takes a thread for its batch only."""

    @wraps(verb)
    async def served(self: AsyncSelection, /, *args: A.args, **given: A.kwargs) -> SelectionResult:
        return await self._all(verb(self._blocking, *args, **given))

    return served


class AsyncSelection(AsyncMethods[Selection, AsyncProcess]):
    """All jobs that match, for `async for` and with the methods of a Selection as coroutines.

    If a task is cancelled, the batch that is under way goes on, and no other one begins.
    """

    async def _all(self, steps: Iterator[SelectionResult]) -> SelectionResult:
        result = SelectionResult()
        try:
            while (step := await self._threads.run(next, steps, None)) is not None:
                result = step
        except BaseException as error:
            tell_how_far(error, result)
            raise
        return result

    async def __aiter__(self) -> AsyncIterator[AsyncProcess]:
        """Yields the jobs, in no order, read as you iterate."""
        found = iter(self._blocking)
        while page := await self._threads.run(lambda: list(islice(found, _PAGE))):
            for process in page:
                yield self._processes.adopt(process)

    count = coroutine(Selection.count)
    retry = stepwise(selections.retry)
    cancel = stepwise(selections.cancel)
    delete = stepwise(selections.delete)
