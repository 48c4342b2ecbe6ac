"""What this process knows of a RemoteJob after each thing that it does about it, or is told. Pure.

``decide`` decides on this and nothing else, so that a job is sent once hangs on these few lines.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from operators.dispatch.decide import Answer, Observed
from operators.dispatch.tasks import Cancelled, Failed, Found, Log, NotSent, OfJob, Refusal, Seen
from operators.sites.access import Lasting

LONGEST_PAUSE: Final = 1800.0  # seconds between two tries of what is refused for now


@dataclass(frozen=True)
class Intended:
    """The intention with this count of ``asks`` is written, by this process."""

    asks: int


@dataclass(frozen=True)
class Sending:
    """The job is handed over to be submitted."""


@dataclass(frozen=True)
class CalledOff:
    """The intention was taken back."""


def after(  # noqa: PLR0911 (a transition each)
    told: Observed, what: OfJob | Intended | Sending | CalledOff, now: float, silence: float
) -> Observed:
    """What is known then; ``now`` in seconds since the epoch, ``silence`` as in ``Bounds``."""
    match what:
        case Intended(asks):
            # Only by who has written it, and only now: nothing was sent for it.
            return replace(told, unsent=asks)
        case Sending():
            # From here on that is not known any more.
            return replace(told, unsent=0)
        case CalledOff():
            return Observed()
        case Log():
            return told
        case Seen(_, rows, asked):
            # Of a job that is not in it a look tells nothing; nor does one from before the last answer.
            if not rows or (told.answer and told.answer.asked > asked):
                return told
            return replace(told, answer=Answer(rows, asked, asked))
    # What follows answers what was asked for the job's sake, which may be asked on unless it says otherwise.
    told = replace(told, not_before=0)
    match what:
        case Found(_, rows, asked):
            answer = Answer(rows, asked, asked).after(told.answer)
            silent = told.heard is None or asked - told.heard > silence
            return replace(told, answer=answer, heard=asked, steady=asked if silent else told.steady)
        case NotSent(_, attempt, _, seconds):
            return replace(told, unsent=attempt.asks, not_before=_until(now, seconds))
        case Refusal():
            return _refused(told, what, now)
        case Failed(_, _, seconds, asked):
            # What was told before it failed says nothing of what it takes up when it works again.
            none = asked and told.answer is not None and not told.answer.rows
            return replace(told, answer=None if none else told.answer, not_before=_until(now, seconds))
        case Cancelled(_, at):
            return replace(told, stopped=at)
    return told


def _refused(told: Observed, refusal: Refusal, now: float) -> Observed:
    """The pause is doubled each time; where nothing was taken for certain, nothing else is waited for."""
    good, certain = refusal.lasting is Lasting.FOR_GOOD, refusal.lasting is not Lasting.UNCLEAR
    pause = min(refusal.seconds * 2.0 ** min(told.refusals, 30), LONGEST_PAUSE)
    return replace(
        told,
        unsent=refusal.attempt.asks if certain else 0,
        answer=None,  # it is looked for once more before it is sent
        rejection=refusal.why if certain else f"in words that are not known: {refusal.why}",
        rejections=told.rejections + good,
        refusals=told.refusals + 1,
        not_before=_until(now, pause),
    )


def _until(now: float, seconds: float) -> float:
    return now + seconds if seconds else 0
