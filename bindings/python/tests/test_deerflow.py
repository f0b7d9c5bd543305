"""DeerFlow's interface over a real sandbox; DeerFlow itself is not on the package index."""

from __future__ import annotations

from typing import Any

import pytest

from sandport.deerflow import SandboxInfo, SandportBackend


def test_the_whole_life_as_deerflow_does_it(config: dict[str, Any]) -> None:
    backend = SandportBackend(environment={"PRICE": "$5"}, **config)
    info = backend.create("thread", "deer", None, user_id="somebody")
    assert info.sandbox_url.startswith("http://localhost:")
    assert SandboxInfo.from_dict(info.to_dict()) == info
    assert backend.is_alive(info)
    found = backend.discover("deer")
    assert found is not None and found.container_id == info.container_id
    assert [one.sandbox_id for one in backend.list_running()] == ["deer"]
    assert backend.runtime in ("docker", "podman")
    backend.destroy(info)
    backend.destroy(info)
    assert not backend.is_alive(info)
    assert backend.discover("deer") is None
    backend.close()


def test_failures_are_runtime_errors(config: dict[str, Any]) -> None:
    backend = SandportBackend(**config)
    with pytest.raises(RuntimeError, match="invalid_argument"):
        backend.create("thread", "NOT AN ID")
    backend.close()
