"""Numbers that are derived from names, so that every process finds the same one and a restart changes nothing."""

from __future__ import annotations

import hashlib


def stable_number(below: int, *names: object) -> int:
    """Returns a number from 0 up to, but not including, `below` that looks random and depends on the names alone."""
    digest = hashlib.sha256("\0".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:8], "big") % below
