"""What the threads of a node have in common: one that ends by an unexpected exception must not end in silence."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)

Crashed = Callable[[], None]


def duty(name: str, work: Callable[[], None], crashed: Crashed) -> threading.Thread:
    """A thread that does `work`; if that raises, it is logged and `crashed` is called."""

    def guarded() -> None:
        try:
            work()
        except Exception:
            logger.exception("a thread of the node ended by an exception", extra={"duty": name})
            crashed()

    return threading.Thread(target=guarded, name=f"taskscheduler-{name}")
