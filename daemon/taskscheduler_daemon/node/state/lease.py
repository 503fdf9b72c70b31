"""Lease: until when this node may hold jobs."""

from __future__ import annotations

#: of the lease: how often it is renewed, and when jobs are killed that could not be renewed
RENEWALS, SAFE_PART = 3, 0.8
