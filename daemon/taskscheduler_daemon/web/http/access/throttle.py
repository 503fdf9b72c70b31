"""Decides how long somebody has to wait before another try to log in, by name and by address."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict

from taskscheduler.clock import Clock

FORGOTTEN = 900.0  #: seconds after the last try

_MOST = 10_000  #: names and addresses that are remembered

#: tries that cost nothing, and the longest pause in seconds; a name alone waits less, as nobody shall lock others out
_PAIR, _ADDRESS, _NAME = (3, 60.0), (10, 60.0), (20, 10.0)


class LoginThrottle:
    """Counts tries. One is counted when it begins, so that many at once do not get around it. Safe for threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tries: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, name: str, address: str) -> float:
        """Returns for how many seconds a try is refused; 0: it is counted, and may go on."""
        place = _network(address)
        keys = (((name, place), _PAIR), (("", place), _ADDRESS), ((name, ""), _NAME))
        with self._lock:
            now = self._clock.monotonic()
            left = max(self._left(key, bounds, now) for key, bounds in keys)
            if left <= 0:
                for key, _ in keys:
                    self._count(key, now)
            return max(0.0, left)

    def succeeded(self, name: str, address: str) -> None:
        """Forgets the tries of who has logged in."""
        with self._lock:
            for key in ((name, _network(address)), (name, "")):
                self._tries.pop(key, None)

    def _left(self, key: tuple[str, str], bounds: tuple[int, float], now: float) -> float:
        count, last = self._tries.get(key, (0, 0.0))
        free, longest = bounds
        if count < free or now - last > FORGOTTEN:
            return 0.0
        return last + min(longest, 2.0 ** min(count - free, 20)) - now

    def _count(self, key: tuple[str, str], now: float) -> None:
        count, last = self._tries.pop(key, (0, now))
        self._tries[key] = (1 if now - last > FORGOTTEN else count + 1, now)
        if len(self._tries) > _MOST:
            self._tries.popitem(last=False)


def _network(address: str) -> str:
    """Returns an address; of one of version 6 the network, in which one host has as many addresses as it likes."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:60]
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.IPv6Network((int(found), 64), strict=False))
