"""sandport beside the bare Engine API and the docker command line: see README.md in this folder."""

from __future__ import annotations

import http.client
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable

import sandport

IMAGE = "sandport-test:latest"
TURNS = int(os.environ.get("SANDPORT_BENCH_TURNS", "15"))
PORTS = {"bare": 28400, "cli": 28401}


class Engine(http.client.HTTPConnection):
    """The Engine API on one kept connection."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/var/run/docker.sock")

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        text = None if body is None else json.dumps(body)
        self.request(method, f"/v1.41{path}", text, {"content-type": "application/json"})
        answer = self.getresponse()
        data = answer.read()
        return answer.status, json.loads(data) if data else None


def wait_ready(port: int) -> None:
    """As sandport does it: from 2 ms up with back-off."""
    pause = 0.002
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/v1/sandbox")
            ready = connection.getresponse().status == 200
            connection.close()
            if ready:
                return
        except OSError:
            pass
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


class Bare:
    def __init__(self, network: str) -> None:
        self.engine, self.network, self.id = Engine("localhost"), network, ""

    def create(self) -> None:
        _, made = self.engine.ask(
            "POST",
            "/containers/create?name=bench-bare",
            {
                "Image": IMAGE,
                "ExposedPorts": {"8080/tcp": {}},
                "HostConfig": {
                    "AutoRemove": True,
                    "Init": True,
                    "PidsLimit": 4096,
                    "LogConfig": {"Type": "json-file", "Config": {"max-size": "10485760", "max-file": "1"}},
                    "SecurityOpt": ["seccomp=unconfined"],
                    "NetworkMode": self.network,
                    "PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(PORTS["bare"])}]},
                },
            },
        )
        self.id = made["Id"]
        self.engine.ask("POST", f"/containers/{self.id}/start")
        wait_ready(PORTS["bare"])

    def is_alive(self) -> None:
        self.engine.ask("GET", f"/containers/{self.id}/json")

    def discover(self) -> None:
        self.engine.ask("GET", "/containers/bench-bare/json")
        wait_ready(PORTS["bare"])

    def list(self) -> None:
        self.engine.ask("GET", "/containers/json")

    def destroy(self) -> None:
        self.engine.ask("POST", f"/containers/{self.id}/stop?t=1")
        while self.engine.ask("GET", f"/containers/{self.id}/json")[0] != 404:
            time.sleep(0.005)


class Cli:
    def __init__(self, network: str) -> None:
        self.network = network

    def create(self) -> None:
        docker(
            "run", "-d", "--rm", "--init", "--name", "bench-cli", "--network", self.network, "--pids-limit", "4096",
            "--log-opt", "max-size=10485760", "--log-opt", "max-file=1", "--security-opt", "seccomp=unconfined",
            "-p", f"127.0.0.1:{PORTS['cli']}:8080", IMAGE,
        )  # fmt: skip
        wait_ready(PORTS["cli"])

    def is_alive(self) -> None:
        docker("inspect", "-f", "{{.State.Running}}", "bench-cli")

    def discover(self) -> None:
        docker("inspect", "-f", "{{.State.Running}}", "bench-cli")
        docker("port", "bench-cli", "8080")
        wait_ready(PORTS["cli"])

    def list(self) -> None:
        names = docker("ps", "--filter", "name=bench-", "--format", "{{.Names}}").split()
        docker("inspect", *names)

    def destroy(self) -> None:
        docker("stop", "-t", "1", "bench-cli")
        while subprocess.run(["docker", "inspect", "bench-cli"], capture_output=True).returncode == 0:
            time.sleep(0.005)


class Ours:
    def __init__(self, folder: str) -> None:
        self.backend = sandport.Backend(
            image=IMAGE, container_prefix="bench", base_port=28410, state_dir=folder, stop_timeout_seconds=1
        )

    def create(self) -> None:
        self.info = self.backend.create("ours")

    def is_alive(self) -> None:
        self.backend.is_alive(self.info)

    def discover(self) -> None:
        self.backend.discover("ours")

    def list(self) -> None:
        self.backend.list()

    def destroy(self) -> None:
        self.backend.destroy(self.info)


def timed(work: Callable[[], None], times: int = 1) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begun) / times


def main() -> None:
    for name in ("bench-bare", "bench-cli", "bench-ours"):
        subprocess.run(["docker", "rm", "-f", name], capture_output=True)
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(os.path.join(folder, "state"))
        ours.create()  # makes the network and warms everything up
        ours.destroy()
        network = docker("network", "ls", "--no-trunc", "-q", "--filter", "name=^sandport$").split()[0]
        candidates: dict[str, Any] = {"bare": Bare(network), "cli": Cli(network), "sandport": ours}
        rows = ("create", "is_alive", "discover", "list", "destroy")
        times: dict[tuple[str, str], list[float]] = {(row, name): [] for row in rows for name in candidates}
        for turn in range(TURNS + 1):
            for row in rows:
                for name, candidate in candidates.items():
                    quick = row in ("is_alive", "discover", "list") and name != "cli"
                    took = timed(getattr(candidate, row), 5 if quick else 1)
                    if turn:  # the first one warms up
                        times[row, name].append(took)
            print(f"\rturn {turn} of {TURNS}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        version = docker("version", "--format", "{{.Server.Version}}")
        print(f"Docker {version}, sandport {sandport.version()}, Python {platform.python_version()}, {os.cpu_count()} cores")
        print(f"median (min to max) of {TURNS} turns, in ms\n")
        print("| row | bare API | docker CLI | sandport | of bare | of CLI |\n| --- | --- | --- | --- | --- | --- |")
        for row in rows:
            middle = {name: statistics.median(times[row, name]) for name in candidates}
            cells = [
                f"{middle[name] * 1e3:.2f} ({min(times[row, name]) * 1e3:.2f} to {max(times[row, name]) * 1e3:.2f})"
                for name in candidates
            ]
            ratios = [f"{middle['sandport'] / middle[name]:.3f}" for name in ("bare", "cli")]
            print("| " + " | ".join([row, *cells, *ratios]) + " |")
        ours.backend.close()


if __name__ == "__main__":
    main()
