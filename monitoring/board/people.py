"""Who may see what: the API server knows the token, and says what its owner may do.

As the operator's /metrics has it (TokenReview, SubjectAccessReview).
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from monitoring.board.answers import NAMESPACE as OF_PARTNER
from monitoring.parts import NAMESPACE

_TIMEOUT: Final = 3.0  # seconds

EVERYTHING: Final[Mapping[str, str]] = {
    "namespace": NAMESPACE,
    "verb": "create",
    "group": "",
    "resource": "pods",
    "subresource": "portforward",
}
"""Who may do that reads the store itself, which knows no partners: the board shows nothing new."""


def of_partner(tenant: str) -> Mapping[str, str]:
    """Who may do that sees the partner's work with kubectl too."""
    return {
        "namespace": f"{OF_PARTNER}{tenant}",
        "verb": "list",
        "group": "kueue.x-k8s.io",
        "resource": "workloads",
    }


class ReviewError(Exception):
    """The API server could not be asked."""


@dataclass(frozen=True)
class Person:
    """Whom a token belongs to, as SubjectAccessReview takes it; ``expires`` is the token's end, Unix time."""

    user: Mapping[str, Any]
    expires: float


@dataclass(frozen=True)
class Judge:
    """The API server's word. Keeps nothing."""

    client: httpx.AsyncClient
    address: str
    """Of the API server: a URL without a path."""
    token_file: Path | None
    """The board's own token, read anew each time as it changes; None: the API server knows the client."""

    async def person(self, token: str) -> Person | None:
        """Who that is; None for a token that is not good. Raises ReviewError."""
        status = await self._create("authentication.k8s.io", "TokenReview", {"token": token})
        if not status.get("authenticated"):
            return None
        user = status.get("user", {})
        kept = {
            "user": user.get("username", ""),
            "uid": user.get("uid", ""),
            "groups": user.get("groups", []),
            "extra": user.get("extra", {}),
        }
        return Person(kept, expiry(token))

    async def may(self, person: Person, what: Mapping[str, str]) -> bool:
        """Whether the person may do that. Raises ReviewError."""
        spec = {**person.user, "resourceAttributes": dict(what)}
        status = await self._create("authorization.k8s.io", "SubjectAccessReview", spec)
        return bool(status.get("allowed"))

    async def _create(self, group: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        body = {"apiVersion": f"{group}/v1", "kind": kind, "spec": spec}
        url = f"{self.address}/apis/{group}/v1/{kind.lower()}s"
        try:
            headers = {"Authorization": f"Bearer {self.token_file.read_text()}"} if self.token_file else {}
            answer = await self.client.post(url, json=body, headers=headers, timeout=_TIMEOUT)
            status: dict[str, Any] = answer.raise_for_status().json()["status"]
        except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            raise ReviewError(f"the API server does not answer a {kind}: {type(error).__name__}") from error
        return status


def expiry(token: str) -> float:
    """When a token that the API server has judged ends: the ``exp`` of a JWT (RFC 7519), else never."""
    try:
        payload = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return float("inf")
