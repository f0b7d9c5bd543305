"""What the README and the example say is true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]


def test_the_readmes_first_lines_work(tmp_path: Path) -> None:
    block = re.search(r"```python\n(.*?)```", (HERE / "README.md").read_text(), re.S)
    assert block
    told = subprocess.run([sys.executable, "-c", block[1]], env=environment(tmp_path), capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip() == "Linux"


def test_the_example_does_the_whole_job(tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "examples" / "life.py")]
    told = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "hello from Linux" in told.stdout
    assert "destroyed: True" in told.stdout


def environment(folder: Path) -> dict[str, Any]:
    return {**os.environ, "SANDPORT_STATE_DIR": str(folder / "state")}
