"""Reconciler: this node's attempts against the database."""

from __future__ import annotations

SILENCE = 3.0  #: seconds; the manager gives account of what it holds every second

_SOON = 0.4  #: seconds; younger attempts are not checked, as most end before it would matter

#: seconds between two looks at our own jobs while nobody follows the messages of those that are cancelled
_CHECK_WHEN_BUSY = 0.4
