"""Sandbox containers for Python, on the machine it runs on.

>>> import sandport
>>> with sandport.Backend(image="my-image") as backend:        # doctest: +SKIP
...     box = backend.create("demo")
...     print(backend.request(box, "POST", "/v1/shell/exec", json={"command": "uname"}).json())
...     backend.destroy(box)
"""

from __future__ import annotations

from typing import Any

from ._async import AsyncBackend
from ._errors import (
    Cancelled,
    Denied,
    ImageNotFound,
    Internal,
    InvalidArgument,
    InvalidHandle,
    NameConflict,
    NotFound,
    NotReady,
    PortExhausted,
    QuotaExceeded,
    RuntimeFailed,
    RuntimeUnavailable,
    SandboxExited,
    SandportError,
    Timeout,
    Unsupported,
)
from ._info import Response, SandboxInfo
from ._library import Library, library
from ._plain import Backend

__all__ = [
    "AsyncBackend",
    "Backend",
    "Cancelled",
    "Denied",
    "ImageNotFound",
    "Internal",
    "InvalidArgument",
    "InvalidHandle",
    "Library",
    "NameConflict",
    "NotFound",
    "NotReady",
    "PortExhausted",
    "QuotaExceeded",
    "Response",
    "RuntimeFailed",
    "RuntimeUnavailable",
    "SandboxExited",
    "SandboxInfo",
    "SandportError",
    "Timeout",
    "Unsupported",
    "allocate_port",
    "library",
    "release_port",
    "set_log",
    "version",
]


def version() -> str:
    """The library's version."""
    return library().version()


def allocate_port(start_port: int = 8080, count: int = 100, **more: Any) -> int:
    """Reserves the lowest free host port of the range in this process and, by a lock, among processes."""
    return int(library().allocate_port({"start_port": start_port, "count": count, **more})["port"])


def release_port(port: int) -> bool:
    """Gives a port back; False where it was not reserved."""
    return bool(library().release_port({"port": port})["released"])


def set_log(level: str, *, path: str | None = None, fd: int | None = None) -> None:
    """JSON lines about every call to a file or a descriptor; level "off" ends it."""
    request: dict[str, Any] = {"level": level}
    if path is not None:
        request["path"] = path
    if fd is not None:
        request["fd"] = fd
    library().set_log(request)
