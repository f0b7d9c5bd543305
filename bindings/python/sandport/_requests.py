"""The requests and answers that both faces share: what Python says, as the library's JSON."""

from __future__ import annotations

import base64
import json
from typing import Any, Mapping, Union

from ._info import Response, SandboxInfo

Sandbox = Union[str, SandboxInfo]
"""A sandbox id (whatever bears the name now), or a SandboxInfo (that very container)."""


def which(sandbox: Sandbox) -> dict[str, Any]:
    """Names the sandbox of a call."""
    if isinstance(sandbox, SandboxInfo):
        # The key is a secret that no call needs back.
        return {"sandbox": {**sandbox.to_dict(), "auth": None}}
    if isinstance(sandbox, str):
        return {"sandbox_id": sandbox}
    raise TypeError(f"a sandbox is named by its id (str) or its SandboxInfo, not by {type(sandbox).__name__}")


def given(**fields: Any) -> dict[str, Any]:
    """The fields that were given."""
    return {name: value for name, value in fields.items() if value is not None}


def http(
    sandbox: Sandbox,
    method: str,
    path: str,
    headers: Mapping[str, str] | None,
    body: str | bytes | None,
    json_body: Any,
    timeout: float | None,
    max_response_bytes: int | None,
) -> dict[str, Any]:
    """The request of an HTTP request."""
    if body is not None and json_body is not None:
        raise TypeError("give body or json, not both")
    heads = dict(headers or {})
    request = {**which(sandbox), "method": method, "path": path}
    if json_body is not None:
        body = json.dumps(json_body)
        if not any(name.lower() == "content-type" for name in heads):
            heads["content-type"] = "application/json"
    if isinstance(body, bytes):
        request["body_base64"] = base64.b64encode(body).decode()
    elif body is not None:
        request["body"] = body
    return {
        **request,
        **given(headers=heads or None, timeout_seconds=timeout, max_response_bytes=max_response_bytes),
    }


def response(answer: Mapping[str, Any]) -> Response:
    """The answer of an HTTP request."""
    if "body_base64" in answer:
        body = base64.b64decode(answer["body_base64"])
    else:
        body = str(answer.get("body") or "").encode()
    return Response(int(answer["status"]), answer["headers"], body)


def found(answer: Mapping[str, Any]) -> SandboxInfo | None:
    """The answer of a discover."""
    sandbox = answer["sandbox"]
    return None if sandbox is None else SandboxInfo.from_dict(sandbox)
