# ruff: noqa: N818 (the names are Kubernetes' own reasons)
"""What can go wrong between this project and an API server, as types, and when to try again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

# What an API server answers while a webhook's pod, Service or certificate is only just there, and
# while etcd elects a leader or waits for its disk.
_PASSING: Final = ("failed calling webhook", "conversion webhook for", "etcdserver:")

# The conflict is the quota's, not the object's that was sent.
_CONTENDED: Final = "Operation cannot be fulfilled on resourcequotas"


class KubernetesError(Exception):
    """A request failed. The message says of what, why, and what to do where that is known."""


class Unreachable(KubernetesError):
    """No API server answers, or there are no credentials for one."""


class Silent(Unreachable):
    """The connection stands, and nothing comes over it any more."""


class ApiError(KubernetesError):
    """The API server refused. ``reason`` is Kubernetes' own word for it (``Forbidden``, ``Invalid``, ...)."""

    def __init__(self, status: int, reason: str, message: str, causes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.causes = causes
        """One "field: what is wrong with it" each."""


class NotFound(ApiError):
    """There is no such object, or the server does not serve its kind."""


class Conflict(ApiError):
    """Somebody else changed it first, owns the field, or made the object already."""


class Forbidden(ApiError):
    """These credentials may not do that, or an admission policy refuses it."""


class Invalid(ApiError):
    """The object does not fit its kind's schema, or a field that cannot be changed would change."""


class Gone(ApiError):
    """The resource version is too old to watch or page on from: list again."""


class NotReady(ApiError):
    """The server, or a webhook that it must ask, is not ready yet. Trying again helps."""


class QuotaContended(NotReady):
    """Another object of the namespace was being counted at that moment: nothing was made. Trying again helps.

    The API server itself tries three times; beside a burst of jobs that is not enough.
    """


class Busy(NotReady):
    """The server has too much to do: it refuses requests for a while, or gives up on them in time."""


def patiently(
    seconds: float, waiting: Callable[[KubernetesError], None], *also: type[KubernetesError]
) -> Retrying:
    """Calls again while the server, or a webhook that it must ask, is only just coming up.

    ``waiting`` is told why before each pause; after ``seconds`` the last error is raised. ``also``
    names further errors after which the call is worth another try.
    """
    return _retrying(seconds, waiting, NotReady, Unreachable, *also)


def while_busy(seconds: float) -> Retrying:
    """Calls again while the server says that it is busy; after ``seconds`` the last error is raised."""
    return _retrying(seconds, lambda _: None, Busy)


def while_contended(seconds: float) -> Retrying:
    """Calls again while the count of a quota changes; after ``seconds`` the last error is raised."""
    return _retrying(seconds, lambda _: None, QuotaContended)


def _retrying(
    seconds: float, waiting: Callable[[KubernetesError], None], *passing: type[KubernetesError]
) -> Retrying:
    def tell(state: RetryCallState) -> None:
        if state.outcome and isinstance(error := state.outcome.exception(), KubernetesError):
            waiting(error)

    return Retrying(
        retry=retry_if_exception_type(passing),
        stop=stop_after_delay(seconds),
        wait=wait_exponential(multiplier=0.1, max=2),
        before_sleep=tell,
        reraise=True,
    )


def status_of(code: int, data: bytes) -> dict[str, Any]:
    """The server's Status object; made up where a proxy or an aggregated API answers with plain text."""
    try:
        status = json.loads(data)
    except ValueError:
        status = {}
    if not isinstance(status, dict) or "message" not in status:
        status = {"message": data.decode(errors="replace").strip()}
    return {"code": code, "reason": "", **status}


def api_error(status: dict[str, Any]) -> ApiError:
    """The error that a Status object stands for."""
    code, reason, message = status.get("code", 0), status.get("reason", ""), status.get("message", "")
    causes = tuple(
        f"{cause.get('field', '')}: {cause.get('message', '')}".removeprefix(": ")
        for cause in (status.get("details") or {}).get("causes") or ()
    )
    passing = code >= 500 and any(words in message for words in _PASSING)
    terminating = "because it is being terminated" in message
    kind = NotReady if passing or terminating else _ERRORS.get(code, ApiError)
    if kind is Conflict and _CONTENDED in message:
        kind = QuotaContended
    return kind(code, reason, message, causes)


_ERRORS: Final[Mapping[int, type[ApiError]]] = {
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: Busy,
    503: NotReady,
    504: Busy,
}


def why(error: BaseException) -> str:
    """The innermost cause, without the layers that urllib3 wraps around it."""
    inner = getattr(error, "reason", None) or error.__cause__ or error.__context__
    if isinstance(inner, BaseException):
        return why(inner)
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
