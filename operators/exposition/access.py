"""Who may read /metrics: a bearer token, judged by the API server (TokenReview, SubjectAccessReview).

A token must be meant for this operator (audience ``antenna-operator``) and its owner must have the verb
``get`` on the non-resource URL ``/metrics``. https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from operators.kube.client import Cluster
from operators.kube.errors import KubernetesError

AUDIENCE: Final = "antenna-operator"
PATH: Final = "/metrics"

ALLOWED_SECONDS: Final = 30.0
REFUSED_SECONDS: Final = 10.0
GRACE_SECONDS: Final = 600.0
"""How long a yes still counts while the API server cannot be asked: metrics matter most then."""
_REVIEW_TIMEOUT: Final = 3.0  # seconds
_PAUSE: Final = 5.0  # seconds without asking, after the API server did not answer
_TOKENS: Final = 1024  # remembered at most
_LONGEST: Final = 8192  # characters of a token


class Verdict(IntEnum):
    """As HTTP says it."""

    ALLOWED = 200
    UNAUTHENTICATED = 401
    FORBIDDEN = 403
    UNKNOWN = 503
    """The API server could not be asked."""


@dataclass(frozen=True)
class _Answer:
    verdict: Verdict
    asked: float
    expires: float
    """Of the token, in seconds since 1970."""


class Access:
    """Judges Authorization headers. Safe to use from several threads; keeps no token, only its hash."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._wall_clock = wall_clock
        self._answers: OrderedDict[bytes, _Answer] = OrderedDict()
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._silent_until = float("-inf")

    def judge(self, authorization: str | None) -> Verdict:
        """The verdict on the value of an Authorization header."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > _LONGEST:
            return Verdict.UNAUTHENTICATED
        key = hashlib.sha256(token.encode()).digest()
        fresh = self._remembered(key)
        if fresh is not None:
            return fresh
        # One review at a time: a flood of unknown tokens becomes no flood of reviews.
        with self._asking:
            fresh = self._remembered(key)
            return fresh if fresh is not None else self._ask(key, token)

    def _remembered(self, key: bytes) -> Verdict | None:
        with self._lock:
            answer = self._answers.get(key)
        if answer is None or answer.expires <= self._wall_clock():
            return None
        lasts = ALLOWED_SECONDS if answer.verdict is Verdict.ALLOWED else REFUSED_SECONDS
        return answer.verdict if self._clock() - answer.asked < lasts else None

    def _ask(self, key: bytes, token: str) -> Verdict:
        now = self._clock()
        if now < self._silent_until:
            return self._in_grace(key)
        try:
            verdict = self._review(token)
        except KubernetesError:
            self._silent_until = self._clock() + _PAUSE
            return self._in_grace(key)
        with self._lock:
            self._answers[key] = _Answer(verdict, now, _expiry(token))
            self._answers.move_to_end(key)
            while len(self._answers) > _TOKENS:
                self._answers.popitem(last=False)
        return verdict

    def _in_grace(self, key: bytes) -> Verdict:
        with self._lock:
            answer = self._answers.get(key)
        if (
            answer is not None
            and answer.verdict is Verdict.ALLOWED
            and answer.expires > self._wall_clock()
            and self._clock() - answer.asked < GRACE_SECONDS
        ):
            return Verdict.ALLOWED
        return Verdict.UNKNOWN

    def _review(self, token: str) -> Verdict:
        review = self._create(
            "/apis/authentication.k8s.io/v1/tokenreviews",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "spec": {"token": token, "audiences": [AUDIENCE]},
            },
        )
        if not review.get("authenticated") or AUDIENCE not in review.get("audiences", ()):
            return Verdict.UNAUTHENTICATED
        user = review["user"]
        access = self._create(
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {
                    "user": user.get("username", ""),
                    "uid": user.get("uid", ""),
                    "groups": user.get("groups", []),
                    "extra": user.get("extra", {}),
                    "nonResourceAttributes": {"path": PATH, "verb": "get"},
                },
            },
        )
        return Verdict.ALLOWED if access.get("allowed") else Verdict.FORBIDDEN

    def _create(self, path: str, review: dict[str, Any]) -> dict[str, Any]:
        status: dict[str, Any] = self._cluster.request("POST", path, body=review, timeout=_REVIEW_TIMEOUT)[
            "status"
        ]
        return status


def _expiry(token: str) -> float:
    """When a token that the API server has judged ends: the ``exp`` of a JWT (RFC 7519), else never."""
    try:
        payload = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return float("inf")
