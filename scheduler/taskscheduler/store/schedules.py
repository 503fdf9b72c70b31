"""Postponed jobs that are due: find, promote, bring forward."""

from __future__ import annotations

_DUE_BATCH = 1000
