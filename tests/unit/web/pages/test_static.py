"""The files that pages load."""

from __future__ import annotations

from pathlib import Path

from taskscheduler_daemon.web.pages import static

FOLDER = Path(static.__file__).parent

MOST = 60_000  #: bytes of all files together, packed


def test_all_of_them_together_are_small() -> None:
    sizes = {name: len(asset.packed) for name, asset in static.ASSETS.items()}
    assert {"style.css", "app.js", "icon.svg", "vendor/idiomorph.min.js"} <= set(sizes)
    assert sum(sizes.values()) < MOST, sizes


def test_each_library_has_its_licence_beside_it() -> None:
    for path in (FOLDER / "vendor").glob("*.js"):
        assert (path.parent / f"{path.name.partition('.')[0]}.LICENSE").read_text()


def test_nothing_is_loaded_from_elsewhere() -> None:
    own = [asset.plain.decode() for name, asset in static.ASSETS.items() if not name.startswith("vendor/")]
    assert not [text for text in own if "https:" in text or "url(" in text]
