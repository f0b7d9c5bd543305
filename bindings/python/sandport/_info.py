"""What a sandbox is, as the library tells it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping


@dataclass(frozen=True)
class SandboxInfo:
    """One sandbox. `raw` is the whole answer, with the fields that a newer library adds."""

    sandbox_id: str
    sandbox_url: str
    container_name: str
    container_id: str
    created_at: float
    runtime: str
    state: str
    created: bool | None = None
    spec_matches: bool | None = None
    leased: bool | None = None
    isolation: str | None = None
    timings: Mapping[str, float] | None = None
    auth: Mapping[str, str] | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_dict(cls, answer: Mapping[str, Any]) -> SandboxInfo:
        """From the JSON form; unknown fields are kept in `raw` alone."""
        return cls(
            sandbox_id=str(answer["sandbox_id"]),
            sandbox_url=str(answer.get("sandbox_url") or ""),
            container_name=str(answer.get("container_name") or ""),
            container_id=str(answer.get("container_id") or ""),
            created_at=float(answer.get("created_at") or 0),
            runtime=str(answer.get("runtime") or ""),
            state=str(answer.get("state") or "unknown"),
            created=answer.get("created"),
            spec_matches=answer.get("spec_matches"),
            leased=answer.get("leased"),
            isolation=answer.get("isolation"),
            timings=answer.get("timings"),
            auth=answer.get("auth"),
            warnings=tuple(answer.get("warnings") or ()),
            raw=dict(answer),
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, as any sandport call takes it."""
        return dict(self.raw)


@dataclass(frozen=True)
class Response:
    """What a sandbox answered to an HTTP request."""

    status: int
    headers: Mapping[str, list[str]]
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        import json

        return json.loads(self.body)
