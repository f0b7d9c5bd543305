"""What goes wrong, as exceptions: one class per code, all of them a SandportError."""

from __future__ import annotations

from typing import Any, Mapping


class SandportError(Exception):
    """A failure with a stable code, what happened, and what to do about it."""

    code: str
    message: str
    hint: str
    phase: str | None
    runtime: str | None
    retryable: bool
    details: Mapping[str, Any]

    def __init__(self, error: Mapping[str, Any]) -> None:
        self.code = str(error.get("code", "internal"))
        self.message = str(error.get("message", ""))
        self.hint = str(error.get("hint") or "")
        self.phase = error.get("phase")
        self.runtime = error.get("runtime")
        self.retryable = bool(error.get("retryable", False))
        self.details = dict(error.get("details") or {})
        super().__init__(f"{self.code}: {self.message}" + (f" ({self.hint})" if self.hint else ""))

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_object, (
            {
                "code": self.code,
                "message": self.message,
                "hint": self.hint,
                "phase": self.phase,
                "runtime": self.runtime,
                "retryable": self.retryable,
                "details": dict(self.details),
            },
        )


class InvalidArgument(SandportError):
    """The request or the config is wrong in form, or can never work."""


class InvalidHandle(SandportError):
    """The backend is closed, or stems from before a fork."""


class NotFound(SandportError):
    """There is no such sandbox."""


class RuntimeUnavailable(SandportError):
    """No container engine can be reached."""


class RuntimeFailed(SandportError):
    """The engine answered with a failure."""


class ImageNotFound(SandportError):
    """The image is not here and cannot be pulled."""


class PortExhausted(SandportError):
    """Every port of the range is taken."""


class NameConflict(SandportError):
    """The container name belongs to something else."""


class NotReady(SandportError):
    """The sandbox does not answer."""


class SandboxExited(SandportError):
    """The sandbox's container ended; details hold exit_code, oom_killed and log."""


class Timeout(SandportError, TimeoutError):
    """A time limit was reached."""


class Cancelled(SandportError):
    """The call was cancelled, and nothing that it made remains."""


class Denied(SandportError):
    """A rule forbids it."""


class QuotaExceeded(SandportError):
    """A limit is used up."""


class Unsupported(SandportError):
    """This runtime or this build cannot do it."""


class Internal(SandportError):
    """A bug or a shortage of the library's own."""


_CLASSES: dict[str, type[SandportError]] = {
    "invalid_argument": InvalidArgument,
    "invalid_handle": InvalidHandle,
    "not_found": NotFound,
    "runtime_unavailable": RuntimeUnavailable,
    "runtime_failed": RuntimeFailed,
    "image_not_found": ImageNotFound,
    "port_exhausted": PortExhausted,
    "name_conflict": NameConflict,
    "not_ready": NotReady,
    "sandbox_exited": SandboxExited,
    "timeout": Timeout,
    "cancelled": Cancelled,
    "denied": Denied,
    "quota_exceeded": QuotaExceeded,
    "unsupported": Unsupported,
    "internal": Internal,
}


def _from_object(error: Mapping[str, Any]) -> SandportError:
    return _CLASSES.get(str(error.get("code")), SandportError)(error)


def closed(what: str) -> InvalidHandle:
    """The error of a use after close."""
    return InvalidHandle({"code": "invalid_handle", "message": f"this {what} is closed", "hint": f"open a new {what}"})
