"""The shared library: found by one rule, its functions typed, its ABI checked once."""

from __future__ import annotations

import ctypes
import json
import os
import threading
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Callable

from ._errors import SandportError, Unsupported, _from_object

ABI_VERSION = 1
OK, NOT_READY, TIMEOUT = 0, 9, 11
OPERATIONS = {
    name: number
    for number, name in enumerate(
        ("create", "destroy", "discover", "is_alive", "list", "request", "release", "reap", "wait_ready"), start=1
    )
}


class Library:
    """The loaded library. Strings that it gives out are copied and freed at once."""

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path, dll = _load(path)
        out = POINTER(c_void_p)  # c_char_p would lose the pointer that has to be freed
        handle = POINTER(c_uint64)

        def function(name: str, result: Any, *arguments: Any) -> Any:
            found = getattr(dll, name)
            found.restype, found.argtypes = result, list(arguments)
            return found

        version = function("sandport_abi_version", c_uint32)()
        if version != ABI_VERSION:
            raise Unsupported(
                {
                    "code": "unsupported",
                    "message": f"{self.path} has ABI version {version}, this package needs {ABI_VERSION}",
                    "hint": "install a library and a package of the same release",
                }
            )
        self._version = function("sandport_version", c_char_p)
        self._free = function("sandport_string_free", None, c_void_p)
        self._set_log = function("sandport_set_log", c_int32, c_char_p, out)
        self._open = function("sandport_backend_open", c_int32, c_char_p, handle, out)
        self._close = function("sandport_backend_close", c_int32, c_uint64)
        self._allocate_port = function("sandport_allocate_port", c_int32, c_char_p, out)
        self._release_port = function("sandport_release_port", c_int32, c_char_p, out)
        self._start = function("sandport_call_start", c_int32, c_uint64, c_uint64, c_uint32, c_char_p, handle, out)
        self._wait = function("sandport_call_wait", c_int32, c_uint64, c_int64, POINTER(c_int32), out)
        self._cancel = function("sandport_call_cancel", c_int32, c_uint64)
        self._progress = function("sandport_call_progress", c_int32, c_uint64, out)
        self._call_close = function("sandport_call_close", c_int32, c_uint64)
        self._queue_open = function("sandport_queue_open", c_int32, handle, POINTER(c_int), out)
        self._queue_next = function("sandport_queue_next", c_int32, c_uint64, handle, POINTER(c_int32), out)
        self._queue_close = function("sandport_queue_close", c_int32, c_uint64)

    def version(self) -> str:
        return str(self._version().decode())

    def set_log(self, request: dict[str, Any]) -> Any:
        return self._plain(self._set_log, request)

    def allocate_port(self, request: dict[str, Any]) -> Any:
        return self._plain(self._allocate_port, request)

    def release_port(self, request: dict[str, Any]) -> Any:
        return self._plain(self._release_port, request)

    def backend_open(self, config: dict[str, Any]) -> tuple[int, Any]:
        backend, response = c_uint64(), c_void_p()
        self._open(_text(config), byref(backend), byref(response))
        return backend.value, self._result(response)

    def backend_close(self, backend: int) -> None:
        self._close(backend)

    def call_start(self, backend: int, queue: int, operation: str, request: dict[str, Any]) -> int:
        call, response = c_uint64(), c_void_p()
        self._start(backend, queue, OPERATIONS[operation], _text(request), byref(call), byref(response))
        self._result(response)
        return call.value

    def call_wait(self, call: int, timeout_ms: int) -> tuple[bool, Any]:
        """Whether it has ended, and its answer (an error is raised)."""
        status, response = c_int32(), c_void_p()
        returned = self._wait(call, timeout_ms, byref(status), byref(response))
        if returned == TIMEOUT:
            self._take(response)
            return False, None
        return True, self._result(response)

    def call_cancel(self, call: int) -> None:
        self._cancel(call)

    def call_progress(self, call: int) -> Any:
        response = c_void_p()
        self._progress(call, byref(response))
        return self._result(response)

    def call_close(self, call: int) -> None:
        self._call_close(call)

    def queue_open(self) -> tuple[int, int]:
        queue, fd, response = c_uint64(), c_int(-1), c_void_p()
        self._queue_open(byref(queue), byref(fd), byref(response))
        self._result(response)
        return queue.value, fd.value

    def queue_next(self, queue: int) -> tuple[int, Any] | None:
        """The next result as (call, answer or SandportError), None when there is none."""
        call, status, response = c_uint64(), c_int32(), c_void_p()
        if self._queue_next(queue, byref(call), byref(status), byref(response)) != OK:
            self._take(response)
            return None
        try:
            return call.value, self._result(response)
        except SandportError as error:
            return call.value, error

    def queue_close(self, queue: int) -> None:
        self._queue_close(queue)

    def _plain(self, function: Callable[..., int], request: dict[str, Any]) -> Any:
        response = c_void_p()
        function(_text(request), byref(response))
        return self._result(response)

    def _take(self, response: c_void_p) -> bytes:
        if not response.value:
            return b"{}"
        try:
            return ctypes.string_at(response.value)
        finally:
            self._free(response)

    def _result(self, response: c_void_p) -> Any:
        answer = json.loads(self._take(response))
        if isinstance(answer, dict) and "error" in answer:
            raise _from_object(answer["error"])
        return answer


def _text(request: dict[str, Any]) -> bytes:
    # NaN and Infinity are no JSON; the library would refuse them with a poorer message.
    return json.dumps(request, ensure_ascii=False, allow_nan=False).encode()


def _load(path: str | os.PathLike[str] | None) -> tuple[str, ctypes.CDLL]:
    bundled = Path(__file__).with_name("libsandport.so.0")
    for place in (path, os.environ.get("SANDPORT_LIBRARY")):
        if place:
            return os.fspath(place), ctypes.CDLL(os.fspath(place))
    if bundled.exists():
        return str(bundled), ctypes.CDLL(str(bundled))
    try:
        return "libsandport.so.0", ctypes.CDLL("libsandport.so.0")
    except OSError as error:
        raise OSError(
            "libsandport.so.0 was not found: install a wheel that holds it, set SANDPORT_LIBRARY to its path, "
            "or put it where the system's loader looks"
        ) from error


_lock = threading.Lock()
_default: Library | None = None


def library(path: str | os.PathLike[str] | None = None) -> Library:
    """The library of this process; loaded once unless a path asks for another."""
    global _default
    if path is not None:
        return Library(path)
    with _lock:
        if _default is None:
            _default = Library()
        return _default
