"""What the tests share: the test image, a prefix and a state directory of each test's own, nothing left at the end."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

import sandport

IMAGE = os.environ.get("SANDPORT_TEST_IMAGE", "sandport-test:latest")
_numbers = itertools.count()


@pytest.fixture
def config(tmp_path: Path) -> Iterator[dict[str, Any]]:
    number = next(_numbers)
    folder = tmp_path / "state"
    config = {
        "image": IMAGE,
        "container_prefix": f"py{os.getpid()}n{number}",
        "base_port": 30000 + number * 10,
        "port_count": 40,
        "state_dir": str(folder),
        "stop_timeout_seconds": 1,
    }
    yield config
    with sandport.Backend(**config) as backend:
        left = backend.list()
        for one in left:
            backend.destroy(one.sandbox_id)
    assert left == [], "the test left sandboxes behind"


@pytest.fixture
def backend(config: dict[str, Any]) -> Iterator[sandport.Backend]:
    with sandport.Backend(**config) as opened:
        yield opened


@pytest.fixture
def descriptors() -> Callable[[], int]:
    return lambda: len(os.listdir("/proc/self/fd"))
