"""Sizes and statuses as people write them."""

from __future__ import annotations

import click
import pytest
from tests.support.tables import table

from taskscheduler_daemon.cli.input.parameters import STATUS, parse_size


@table(
    ("text", "size"),
    [
        ("0", 0),
        ("67108864", 67108864),
        ("1k", 1024),
        ("512M", 512 * 1024**2),
        ("512MB", 512 * 1024**2),
        ("2G", 2 * 1024**3),
        ("2GiB", 2 * 1024**3),
        (" 1.5g ", 1536 * 1024**2),
        ("1T", 1024**4),
        ("10B", 10),
    ],
)
def test_a_size_is_a_number_with_or_without_a_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@table("text", ["", "M", "-1", "1 G", "1.G", "1e3", "12X", "1MM", "٣"])
def test_nothing_else_is_a_size(text: str) -> None:
    with pytest.raises(ValueError, match="give bytes, or for example 512M, 2G"):
        parse_size(text)


def test_a_mistyped_status_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(click.BadParameter, match=r"'faild' is not one of waiting, .*; did you mean failed\?"):
        STATUS.convert("faild", None, None)
