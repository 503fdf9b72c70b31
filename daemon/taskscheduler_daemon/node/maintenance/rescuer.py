"""Rescuer: takes back the jobs of lost nodes."""

from __future__ import annotations

_WATCH_EVERY = 1.75, 2.25  #: in polls; so who dies right after a look is found within its lease and 4.5 s
