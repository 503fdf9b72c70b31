"""Decides how people write sizes: a number of bytes, or `512M`, `1.5G`."""

from __future__ import annotations

import re

UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SIZE = re.compile(r"(?P<count>\d+(?:\.\d+)?)(?P<unit>[KMGT]?)(?:I?B)?", re.ASCII)


def parse_size(text: str) -> int:
    """Bytes from `512M`, `2GiB` or a plain number; a ValueError says what would be a size."""
    found = _SIZE.fullmatch(text.strip().upper())
    if found is None:
        raise ValueError(f"{text!r} is not a size; give bytes, or for example 512M, 2G")
    return round(float(found["count"]) * UNITS[found["unit"]])
