"""The whole job, step by step with the times: make a sandbox, use it, find it again, destroy it."""

import os
import sys
import time
from typing import Any, Mapping

import sandport

START = time.monotonic()


def say(text: str) -> None:
    print(f"{(time.monotonic() - START) * 1000:7.1f} ms  {text}")


def show(progress: Mapping[str, Any]) -> None:
    pull = progress["pull"]
    if pull and pull["bytes_total"]:
        done = 30 * pull["bytes_done"] // pull["bytes_total"]
        print(f"\r            pulling [{'#' * done}{'.' * (30 - done)}]", end="", file=sys.stderr)


with sandport.Backend(image=os.environ.get("SANDPORT_IMAGE", "sandport-test:latest")) as backend:
    say(f"opened: {backend.opened['runtime']} {backend.opened['runtime_version']}")
    box = backend.create("python-example", on_progress=show)
    say(f"{'made' if box.created else 'found'} {box.container_name} at {box.sandbox_url}")
    answer = backend.request(box, "POST", "/v1/shell/exec", json={"command": "echo hello from $(uname -s)"})
    say(f"it said: {answer.json()['data']['output'].strip()}")
    with sandport.Backend() as another:
        again = another.discover("python-example")
        say(f"another backend sees the same container: {again is not None and again.container_id == box.container_id}")
    say(f"destroyed: {backend.destroy(box)}")
