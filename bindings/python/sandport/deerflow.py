"""DeerFlow's SandboxBackend over sandport: switch to it by changing one line of a DeerFlow installation.

    from sandport.deerflow import SandportBackend
    backend = SandportBackend(image=..., base_port=8080, container_prefix="deer-flow-sandbox")

DeerFlow itself is imported only if it is there.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any, Iterable, Mapping, Protocol

from ._errors import SandportError
from ._info import SandboxInfo as _Info
from ._plain import Backend


class _Named(Protocol):
    """What these methods read of an info: DeerFlow's own has it too."""

    sandbox_id: str
    container_id: str | None


try:  # pragma: no cover - DeerFlow is not on the package index
    from deerflow.community.aio_sandbox.backend import SandboxBackend as _Base  # type: ignore[import-not-found]
    from deerflow.community.aio_sandbox.sandbox_info import SandboxInfo  # type: ignore[import-not-found]
except ImportError:
    _Base = object

    @dataclass
    class SandboxInfo:  # type: ignore[no-redef]
        """One sandbox, as DeerFlow keeps it."""

        sandbox_id: str
        sandbox_url: str
        container_name: str | None = None
        container_id: str | None = None
        created_at: float = 0.0

        def to_dict(self) -> dict[str, Any]:
            """For JSON."""
            return asdict(self)

        @classmethod
        def from_dict(cls, data: Mapping[str, Any]) -> SandboxInfo:
            """From JSON."""
            return cls(
                sandbox_id=data["sandbox_id"],
                sandbox_url=data.get("sandbox_url", ""),
                container_name=data.get("container_name"),
                container_id=data.get("container_id"),
                created_at=data.get("created_at", 0.0),
            )


class SandportBackend(_Base):  # type: ignore[misc]
    """The interface that DeerFlow's sandbox provider calls. Failures are RuntimeError."""

    def __init__(
        self,
        *,
        image: str,
        base_port: int = 8080,
        container_prefix: str = "deer-flow-sandbox",
        config_mounts: Iterable[Any] = (),
        environment: Mapping[str, str] | None = None,
        **config: Any,
    ) -> None:
        self._public = not os.environ.get("DEER_FLOW_SANDBOX_HOST")
        self._backend = _told(
            lambda: Backend(
                image=image,
                base_port=base_port,
                container_prefix=container_prefix,
                mounts=[_mount(mount) for mount in config_mounts],
                # DeerFlow has resolved $NAME already, so a dollar that it passes is a dollar.
                environment={name: _literal(value) for name, value in (environment or {}).items()},
                **config,
            )
        )

    @property
    def runtime(self) -> str:
        """docker, podman or container."""
        return str(self._backend.opened["runtime"])

    def create(
        self,
        thread_id: str | None,
        sandbox_id: str,
        extra_mounts: Iterable[tuple[str, str, bool]] | None = None,
        *,
        user_id: str | None = None,
        **_later: Any,
    ) -> SandboxInfo:
        """Makes or adopts the sandbox of that id."""
        mounts = [_mount(mount) for mount in extra_mounts or ()]
        return self._info(_told(lambda: self._backend.create(sandbox_id, extra_mounts=mounts or None)))

    def destroy(self, info: _Named) -> None:
        """Stops and removes it; one that is gone is no error."""
        _told(lambda: self._backend.destroy(info.sandbox_id))

    def is_alive(self, info: _Named) -> bool:
        """Whether its container runs."""
        return bool(_told(lambda: self._backend.is_alive(info.sandbox_id)))

    def discover(self, sandbox_id: str) -> SandboxInfo | None:
        """Finds a sandbox that any process started."""
        found = _told(lambda: self._backend.discover(sandbox_id))
        return None if found is None else self._info(found)

    def list_running(self) -> list[SandboxInfo]:
        """All sandboxes of this prefix."""
        return [self._info(one) for one in _told(self._backend.list)]

    def close(self) -> None:
        """Ends the backend; the sandboxes live on."""
        self._backend.close()

    def _info(self, info: _Info) -> SandboxInfo:
        url = info.sandbox_url
        if self._public:
            url = url.replace("http://127.0.0.1:", "http://localhost:", 1)
        return SandboxInfo(
            sandbox_id=info.sandbox_id,
            sandbox_url=url,
            container_name=info.container_name,
            container_id=info.container_id,
            created_at=info.created_at,
        )


def _literal(value: str) -> str:
    return "$" + value if value.startswith("$") else value


def _mount(mount: Any) -> dict[str, Any]:
    if isinstance(mount, (tuple, list)):
        host, container, *rest = mount
        return {"host_path": host, "container_path": container, "read_only": bool(rest and rest[0])}
    if isinstance(mount, Mapping):
        return dict(mount)
    return {
        "host_path": mount.host_path,
        "container_path": mount.container_path,
        "read_only": bool(getattr(mount, "read_only", False)),
    }


def _told(work: Any) -> Any:
    try:
        return work()
    except SandportError as error:
        raise RuntimeError(str(error)) from error
