"""The cases that all bindings share, on both faces."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

import sandport
from sandport._library import Library
from sandport._plain import Backend

FOLDER = Path(__file__).parents[2] / "conformance"
CASES = [case for file in sorted(FOLDER.glob("*.json")) for case in json.loads(file.read_text())]


def fill(value: Any, saved: dict[str, Any]) -> Any:
    if isinstance(value, str):
        if value.startswith("{") and value[1:-1] in saved and value != "{id}":
            return saved[value[1:-1]]
        return value.replace("{id}", saved["id"])
    if isinstance(value, list):
        return [fill(one, saved) for one in value]
    if isinstance(value, dict):
        return {name: fill(one, saved) for name, one in value.items()}
    return value


def assert_holds(answer: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        for name, value in expected.items():
            assert_holds(answer[name], value)
    else:
        assert answer == expected


def plain_step(backend: Backend, step: dict[str, Any], request: dict[str, Any], seen: list[Any]) -> Any:
    if "cancel_after_ms" not in step:
        return backend._run(step["call"], request, seen.append)
    library: Library = backend._handle.library
    call = library.call_start(backend._handle.number(), 0, step["call"], request)
    timer = threading.Timer(step["cancel_after_ms"] / 1000, library.call_cancel, [call])
    timer.start()
    try:
        ended, answer = library.call_wait(call, -1)
        assert ended
        return answer
    finally:
        timer.join()


async def async_step(backend: sandport.AsyncBackend, step: dict[str, Any], request: dict[str, Any], seen: list[Any]) -> Any:
    if "cancel_after_ms" not in step:
        return await backend._run(step["call"], request, seen.append)
    call, future = backend._queue.start(backend._handle.number(), step["call"], request)
    await asyncio.sleep(step["cancel_after_ms"] / 1000)
    backend._handle.library.call_cancel(call)
    return await future


def check(step: dict[str, Any], saved: dict[str, Any], outcome: Any, seen: list[Any]) -> None:
    if "cancel_after_ms" in step:
        assert not isinstance(outcome, sandport.SandportError) or outcome.code == "cancelled", outcome
        return
    if "error" in step:
        assert isinstance(outcome, sandport.SandportError), outcome
        assert outcome.code == step["error"], outcome
        return
    if isinstance(outcome, BaseException):
        raise outcome
    assert_holds(outcome, fill(step["expect"], saved))
    if step.get("progress"):
        assert seen and all(one["phase"] for one in seen)
    if "save" in step:
        saved[step["save"]] = outcome


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_plain(case: dict[str, Any], config: dict[str, Any]) -> None:
    saved: dict[str, Any] = {"id": f"c{uuid.uuid4().hex[:10]}"}
    with Backend(**{**config, **case.get("config", {})}) as backend:
        for step in case["steps"]:
            if step["call"] == "close":
                backend.close()
                continue
            seen: list[Any] = []
            try:
                outcome = plain_step(backend, step, fill(step["input"], saved), seen)
            except sandport.SandportError as error:
                outcome = error
            check(step, saved, outcome, seen)
        if not case.get("no_list"):
            for one in backend.list():
                backend.destroy(one)
            assert backend.list() == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_asyncio(case: dict[str, Any], config: dict[str, Any]) -> None:
    async def run() -> None:
        saved: dict[str, Any] = {"id": f"c{uuid.uuid4().hex[:10]}"}
        async with await sandport.AsyncBackend.open(**{**config, **case.get("config", {})}) as backend:
            for step in case["steps"]:
                if step["call"] == "close":
                    await backend.aclose()
                    continue
                seen: list[Any] = []
                try:
                    outcome = await async_step(backend, step, fill(step["input"], saved), seen)
                except sandport.SandportError as error:
                    outcome = error
                check(step, saved, outcome, seen)
            if not case.get("no_list"):
                for one in await backend.list():
                    await backend.destroy(one)
                assert await backend.list() == []

    asyncio.run(run())
