"""The parts of an answer, and the records in a part: nothing is taken that is not whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from operators.sites.access import SiteError

_CLOCK = re.compile(rb" begin ([0-9]{1,12})\n")
_CODE = re.compile(rb" ended ([0-9]{1,3})\n")


class Garbled(SiteError):  # noqa: N818 (what happened)
    """The answer is not one: cut off, or not in the form that was asked for."""


@dataclass(frozen=True)
class Part:
    """What one command printed, and how it ended."""

    output: bytes
    code: int


@dataclass(frozen=True)
class Answer:
    """A whole answer: all parts, or those up to the first that failed.

    ``clock``: the remote side's, in seconds since the epoch, when it began.
    """

    clock: int
    parts: tuple[Part, ...]


def parse_answer(output: bytes, token: str, parts: int) -> Answer:
    """The answer to ``commands.Command``. Raises Garbled where one of its marks is missing.

    What a login shell prints before it (a banner, a quota's warning) is passed over.
    """
    mark = token.encode()
    _, found, rest = output.partition(mark + b" begin ")
    begin = _CLOCK.match(b" begin " + rest) if found else None
    if not begin:
        raise Garbled("the site's answer did not begin")
    rest = rest[begin.end() - len(b" begin ") :]
    told = []
    for _ in range(parts):
        text, found, rest = rest.partition(b"\n" + mark + b" ended ")
        code = _CODE.match(b" ended " + rest) if found else None
        if not code:
            raise Garbled("the site's answer was cut off")
        rest = rest[code.end() - len(b" ended ") :]
        told.append(Part(text, int(code[1])))
        if told[-1].code:
            break
    return Answer(int(begin[1]), tuple(told))


def records(output: bytes, token: str, head: Sequence[str]) -> Iterator[list[str]]:
    """The records of a table whose every field ends with the token; the head comes first and must be there.

    A field may hold anything but the token, line breaks too. Raises Garbled where a record is not whole.
    """
    fields = output.decode("utf-8", "replace").split(token)
    width = len(head)
    count, over = divmod(len(fields) - 1, width)
    if over or count == 0 or fields.pop().strip("\n"):
        raise Garbled(
            "the site's answer was cut off" if output.strip() else "the site answered nothing at all"
        )
    if all(title.endswith("|") for title in fields[:width]):
        # squeue and sinfo print what stands between the field's width and the token, too.
        fields = [field.removesuffix("|") for field in fields]
    titles = [title.strip() for title in fields[:width]]
    if titles != list(head):
        raise Garbled(f"the site answered with other columns: {', '.join(titles)[:200]}")
    for first in range(width, len(fields), width):
        record = fields[first : first + width]
        if not record[0].startswith("\n"):
            raise Garbled("the site's answer is not in rows")
        yield record
