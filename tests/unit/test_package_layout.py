"""`asterisk/` is a folder of configuration: pyst2's package of that name must stay importable."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_python_lies_in_the_asterisk_folder() -> None:
    assert [str(file) for file in (ROOT / "asterisk").rglob("*.py*")] == []


def test_pyst2_is_found_from_the_root_of_the_repository() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "import asterisk.agi; print(asterisk.__file__)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "site-packages" in done.stdout


def test_pyst2_is_found_in_the_tests() -> None:
    import asterisk.agi

    assert "site-packages" in asterisk.agi.__file__
