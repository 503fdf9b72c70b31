"""The tiles of what ended say so where more has ended than was counted."""

from __future__ import annotations

from tests.support.tables import table

from taskscheduler.model.lifecycle import Status
from taskscheduler.store.job_lists import CAP
from taskscheduler_daemon.web.pages.overview.views import ended_tiles

MORE = CAP + 1


@table(
    ("done", "failed", "texts"),
    [
        (0, 0, ["", ""]),
        (90, 10, ["1.5 a minute", "10 %"]),
        (CAP, 10, ["167 a minute", "0.1 %"]),
        (MORE, 10, ["over 167 a minute", "under 0.1 %"]),
        (30, MORE, ["0.5 a minute", ""]),
        (MORE, MORE, ["over 167 a minute", ""]),
    ],
)
def test_what_ended_within_the_hour(done: int, failed: int, texts: list[str]) -> None:
    tiles = ended_tiles({Status.DONE: done, Status.FAILED: failed})
    assert [tile["text"] for tile in tiles] == texts
    assert [tile["count"] for tile in tiles] == ["10k+" if one == MORE else str(one) for one in (done, failed)]
