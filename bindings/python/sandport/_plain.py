"""The plain face: each method waits, and Ctrl-C interrupts it."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Any, Callable, Mapping, Sequence

from . import _requests as form
from ._errors import SandportError, closed
from ._info import Response, SandboxInfo
from ._library import Library, library
from ._requests import Sandbox, given

Progress = Callable[[Mapping[str, Any]], None]
_SLICE_MS = 100  # how long a wait keeps Ctrl-C from being seen


class Handle:
    """A backend's handle that is closed once, and never by a forked child."""

    def __init__(self, config: Mapping[str, Any], lib: Library | None) -> None:
        self.library = lib or library()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._number, self.opened = self.library.backend_open(dict(config))

    def number(self) -> int:
        if not self._number:
            raise closed("backend")
        return self._number

    def close(self) -> None:
        with self._lock:
            number, self._number = self._number, 0
        # A child made by fork holds a number that means nothing there.
        if number and os.getpid() == self._pid:
            self.library.backend_close(number)


class Backend:
    """One opened configuration. Use it from any thread; close it or use `with`.

    The keywords are the fields of sandport's config, such as `image="..."` or `base_port=9000`; `library` names the
    shared library where the rule of the package's README should not find it. Opening blocks for a few milliseconds,
    up to five seconds where an engine hangs.
    """

    def __init__(self, *, library: Library | None = None, **config: Any) -> None:
        self._handle = Handle(config, library)

    @property
    def opened(self) -> Mapping[str, Any]:
        """What opening answered: runtime, runtime_version, endpoint, isolation, features, warnings."""
        return self._handle.opened  # type: ignore[no-any-return]

    @property
    def features(self) -> frozenset[str]:
        """What this library can do; ask this, not its version."""
        return frozenset(self.opened["features"])

    def create(
        self,
        sandbox_id: str | None = None,
        *,
        thread_id: str | None = None,
        user_id: str | None = None,
        image: str | None = None,
        command: Sequence[str] | None = None,
        extra_mounts: Sequence[Mapping[str, Any]] | None = None,
        environment: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        resources: Mapping[str, Any] | None = None,
        ready_timeout: float | None = None,
        on_progress: Progress | None = None,
    ) -> SandboxInfo:
        """Makes the sandbox of that id, or adopts the one that is there; returns when it answers."""
        request = given(
            sandbox_id=sandbox_id,
            thread_id=thread_id,
            user_id=user_id,
            image=image,
            command=command,
            extra_mounts=extra_mounts,
            environment=environment,
            labels=labels,
            resources=resources,
            ready_timeout_seconds=ready_timeout,
        )
        return SandboxInfo.from_dict(self._run("create", request, on_progress))

    def destroy(self, sandbox: Sandbox, *, stop_timeout: float | None = None) -> bool:
        """Stops and removes it; False where there was none."""
        request = {**form.which(sandbox), **given(stop_timeout_seconds=stop_timeout)}
        return bool(self._run("destroy", request)["destroyed"])

    def discover(self, sandbox: Sandbox) -> SandboxInfo | None:
        """Finds a sandbox that any process started; None when the engine says that there is none that answers."""
        return form.found(self._run("discover", form.which(sandbox)))

    def is_alive(self, sandbox: Sandbox) -> bool:
        """Whether its container runs. Raises when that cannot be found out."""
        return bool(self._run("is_alive", form.which(sandbox))["alive"])

    def list(self) -> list[SandboxInfo]:
        """All sandboxes of this prefix that run."""
        return [SandboxInfo.from_dict(one) for one in self._run("list", {})["sandboxes"]]

    def request(
        self,
        sandbox: Sandbox,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
        json: Any = None,
        timeout: float | None = None,
        max_response_bytes: int | None = None,
    ) -> Response:
        """An HTTP request to the sandbox, and to nobody else."""
        request = form.http(sandbox, method, path, headers, body, json, timeout, max_response_bytes)
        return form.response(self._run("request", request))

    def release(self, sandbox: Sandbox) -> bool:
        """Says that this backend no longer uses it; it lives on."""
        return bool(self._run("release", form.which(sandbox))["released"])

    def reap(self, idle: float, *, dry_run: bool = False, include_lost: bool = False) -> Mapping[str, Any]:
        """Removes what nobody has used for so many seconds: {"reaped": [...], "kept": [...]}."""
        request = {"idle_seconds": idle, "dry_run": dry_run, "include_lost": include_lost}
        return self._run("reap", request)  # type: ignore[no-any-return]

    def wait_ready(self, sandbox_url: str, timeout: float) -> bool:
        """Whether it answered in time."""
        request = {"sandbox_url": sandbox_url, "timeout_seconds": timeout}
        return bool(self._run("wait_ready", request)["ready"])

    def close(self) -> None:
        """Ends this backend and its leases; the sandboxes live on. Harmless when closed already."""
        self._handle.close()

    def __enter__(self) -> Backend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None:
            handle.close()

    def _run(self, operation: str, request: dict[str, Any], on_progress: Progress | None = None) -> Any:
        lib = self._handle.library
        call = lib.call_start(self._handle.number(), 0, operation, request)
        finished = False
        try:
            while True:
                ended, answer = lib.call_wait(call, _SLICE_MS)
                if ended:
                    finished = True
                    return answer
                if on_progress is not None:
                    on_progress(lib.call_progress(call))
        except SandportError:
            finished = True
            raise
        finally:
            # An interrupt, or a callback that raised: the work is cancelled, and what it made is taken back.
            if not finished:
                lib.call_cancel(call)
                lib.call_close(call)
