"""What a node learns from a child that imports its job modules."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.support import commands

_PROGRAM = """
import sys
from taskscheduler_daemon.job_modules import try_import
tried = try_import(["shop_c"])
print(tried.version, *tried.names, "shop_c" in sys.modules)
"""


def test_a_node_learns_names_and_version_from_a_child(tmp_path: Path) -> None:
    (tmp_path / "shop_c.py").write_text("from taskscheduler import job\n@job(name='shop c')\ndef run(): pass\n")
    installed = tmp_path / "shop-1.4.2.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.4.2\n")
    (installed / "RECORD").write_text("shop_c.py,,\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = commands.run([sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, text=True, timeout=60)
    assert ran.stdout == "1.4.2 shop c False\n", ran.stderr
