"""The URI of another database of the same server."""

from __future__ import annotations

import pytest
from tests.support.tables import table

from taskscheduler.errors import InvalidOptionError
from taskscheduler.testing.databases import uri_of_database


@table(
    ("given", "made"),
    [
        ("mongodb://host", "mongodb://host/t"),
        ("mongodb://host/app", "mongodb://host/t"),
        ("mongodb://a:1,[::1]:2/?replicaSet=rs0", "mongodb://a:1,[::1]:2/t?replicaSet=rs0"),
        ("mongodb+srv://host/app?w=1", "mongodb+srv://host/t?w=1"),
        ("mongodb://u:p@host", "mongodb://u:p@host/t"),
        ("mongodb://u:p@host/app", "mongodb://u:p@host/t?authSource=app"),
        ("mongodb://u:p@host/app?w=1", "mongodb://u:p@host/t?w=1&authSource=app"),
        ("mongodb://u:p@host/app?authsource=admin", "mongodb://u:p@host/t?authsource=admin"),
    ],
)
def test_the_server_and_its_user_stay(given: str, made: str) -> None:
    assert uri_of_database(given, "t") == made


@pytest.mark.parametrize("uri", ["", "host", "http://host", "mongodb://", "mongodb:///app"])
def test_what_is_no_uri_is_refused(uri: str) -> None:
    with pytest.raises(InvalidOptionError, match="must be like mongodb://host:27017"):
        uri_of_database(uri, "t")
