"""A table of jobs: which columns give way, and how cells are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from taskscheduler_daemon.cli.output.tables import fit, padded
from taskscheduler_daemon.presentation.clean import clean
from taskscheduler_daemon.presentation.job import COLUMNS


def test_the_note_and_then_the_name_give_way_to_a_narrow_terminal() -> None:
    cells = ["6a5f01c2e26cf26c6d0ede69", "my.long.package.with.Name" * 2, "o waiting", "1", "8m", "", "", "n" * 200]
    widths = fit([list(COLUMNS), cells], 100)
    assert sum(widths) + 2 * (len(widths) - 1) == 100
    assert widths[0] == 24
    assert fit([list(COLUMNS), cells], None)[-1] == 200


@given(st.text(max_size=40).map(clean), st.integers(4, 30))
def test_cut_cells_have_the_width_of_their_column_whatever_the_script(text: str, width: int) -> None:
    for cell in padded([text] * len(COLUMNS), [width] * len(COLUMNS), ".."):
        assert cell_len(cell) == width
