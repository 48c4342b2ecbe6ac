"""The ledger at start: where its database is away, it is waited for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from sqlalchemy.exc import DBAPIError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_exponential,
)

from operators.ledger.trouble import told

T = TypeVar("T")

MOST_SECONDS: Final = 10.0
"""Between two attempts."""

_log = logging.getLogger(__name__)


def opened(make: Callable[[], T], stop: threading.Event) -> T | None:
    """What ``make`` makes, as soon as the database lets it; None once ``stop`` is set.

    What waiting does not mend is raised: NewerSchema, an URL that is none.
    """
    again: Retrying = Retrying(
        retry=retry_if_exception_type(DBAPIError),
        wait=wait_exponential(max=MOST_SECONDS),
        sleep=sleep_using_event(stop),
        stop=stop_when_event_set(stop),
        before_sleep=_tell,
        retry_error_callback=_nothing,
    )
    return again(make)


def _nothing(_: RetryCallState) -> Any:
    return None


def _tell(state: RetryCallState) -> None:
    error = state.outcome and state.outcome.exception()
    if isinstance(error, DBAPIError):
        _log.warning("the ledger cannot be opened: %s; trying again", told(error))
