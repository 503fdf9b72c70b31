"""A node's view of what people have set."""

from __future__ import annotations

from tests.unit.node.fakes import FakeStore

from taskscheduler_daemon.node.state.controls import ControlView


def test_it_says_whether_something_has_changed() -> None:
    store = FakeStore()
    view = ControlView(store.store)
    assert not view.refresh()
    store.controls.stored = [{"_id": "pause:all"}]
    before = view.controls
    assert view.refresh()
    assert not view.refresh()
    assert (len(before.pauses), len(view.controls.pauses)) == (0, 1)
