"""The asyncio face: nothing blocks the event loop, no thread is used, cancelling a task cancels the work."""

from __future__ import annotations

import asyncio
import os
import socket
from types import TracebackType
from typing import Any, Mapping, Sequence

from . import _requests as form
from ._errors import SandportError, closed
from ._info import Response, SandboxInfo
from ._library import Library
from ._plain import Handle, Progress
from ._requests import Sandbox, given

_PROGRESS_SECONDS = 0.1


class _Queue:
    """The library's queue for one event loop; its descriptor is watched only while a call runs."""

    def __init__(self, library: Library, loop: asyncio.AbstractEventLoop) -> None:
        self.library, self.loop = library, loop
        self.number, fd = library.queue_open()
        self.socket = socket.socket(fileno=fd)
        self.waiting: dict[int, asyncio.Future[Any]] = {}
        self._pid = os.getpid()

    def start(self, backend: int, operation: str, request: dict[str, Any]) -> tuple[int, asyncio.Future[Any]]:
        if not self.number:
            raise closed("backend")
        if not self.waiting:
            self.loop.add_reader(self.socket.fileno(), self._deliver)
        try:
            call = self.library.call_start(backend, self.number, operation, request)
        except BaseException:
            self._rest()
            raise
        # The result may be there already; it is fetched by the reader, which runs in this thread and so comes later.
        future: asyncio.Future[Any] = self.loop.create_future()
        self.waiting[call] = future
        return call, future

    def _deliver(self) -> None:
        try:
            while self.socket.recv(4096):
                pass
        except BlockingIOError:
            pass
        while (result := self.library.queue_next(self.number)) is not None:
            call, answer = result
            future = self.waiting.pop(call, None)
            if future is None or future.done():
                continue
            if isinstance(answer, SandportError):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        self._rest()

    def _rest(self) -> None:
        if self.number and not self.waiting:
            self.loop.remove_reader(self.socket.fileno())

    def close(self) -> None:
        if os.getpid() != self._pid or not self.number:
            return
        if not self.loop.is_closed():
            self.loop.remove_reader(self.socket.fileno())
        self.library.queue_close(self.number)
        self.number = 0
        self.socket.close()
        for future in self.waiting.values():
            if not future.done() and not self.loop.is_closed():
                future.cancel()
        self.waiting.clear()


class AsyncBackend:
    """One opened configuration for one event loop: `async with await AsyncBackend.open(...) as backend`."""

    def __init__(self, handle: Handle, queue: _Queue) -> None:
        self._handle, self._queue = handle, queue

    @classmethod
    async def open(cls, *, library: Library | None = None, **config: Any) -> AsyncBackend:
        """Opens a backend; the one step that uses a thread, since it may wait for an engine."""
        loop = asyncio.get_running_loop()
        handle = await loop.run_in_executor(None, Handle, config, library)
        return cls(handle, _Queue(handle.library, loop))

    @property
    def opened(self) -> Mapping[str, Any]:
        """What opening answered."""
        return self._handle.opened  # type: ignore[no-any-return]

    async def create(
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
        return SandboxInfo.from_dict(await self._run("create", request, on_progress))

    async def destroy(self, sandbox: Sandbox, *, stop_timeout: float | None = None) -> bool:
        """Stops and removes it; False where there was none."""
        request = {**form.which(sandbox), **given(stop_timeout_seconds=stop_timeout)}
        return bool((await self._run("destroy", request))["destroyed"])

    async def discover(self, sandbox: Sandbox) -> SandboxInfo | None:
        """Finds a sandbox that any process started."""
        return form.found(await self._run("discover", form.which(sandbox)))

    async def is_alive(self, sandbox: Sandbox) -> bool:
        """Whether its container runs. Raises when that cannot be found out."""
        return bool((await self._run("is_alive", form.which(sandbox)))["alive"])

    async def list(self) -> list[SandboxInfo]:
        """All sandboxes of this prefix that run."""
        return [SandboxInfo.from_dict(one) for one in (await self._run("list", {}))["sandboxes"]]

    async def request(
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
        return form.response(await self._run("request", request))

    async def release(self, sandbox: Sandbox) -> bool:
        """Says that this backend no longer uses it; it lives on."""
        return bool((await self._run("release", form.which(sandbox)))["released"])

    async def reap(self, idle: float, *, dry_run: bool = False, include_lost: bool = False) -> Mapping[str, Any]:
        """Removes what nobody has used for so many seconds."""
        request = {"idle_seconds": idle, "dry_run": dry_run, "include_lost": include_lost}
        return await self._run("reap", request)  # type: ignore[no-any-return]

    async def wait_ready(self, sandbox_url: str, timeout: float) -> bool:
        """Whether it answered in time."""
        request = {"sandbox_url": sandbox_url, "timeout_seconds": timeout}
        return bool((await self._run("wait_ready", request))["ready"])

    async def aclose(self) -> None:
        """Cancels what runs and ends this backend; the sandboxes live on. Harmless when closed already."""
        self._queue.close()
        self._handle.close()

    async def __aenter__(self) -> AsyncBackend:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _run(self, operation: str, request: dict[str, Any], on_progress: Progress | None = None) -> Any:
        call, future = self._queue.start(self._handle.number(), operation, request)
        library = self._handle.library
        try:
            while on_progress is not None and not future.done():
                await asyncio.wait([future], timeout=_PROGRESS_SECONDS)
                if not future.done():
                    on_progress(library.call_progress(call))
            return await future
        except SandportError:
            raise
        except BaseException:
            # A cancelled task, or a callback that raised: the work ends too, and its result is awaited by nobody.
            self._queue.waiting.pop(call, None)
            library.call_cancel(call)
            library.call_close(call)
            self._queue._rest()
            raise
