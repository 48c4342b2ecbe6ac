"""The board's pages as HTML, of plain data. Templates escape whatever they are given."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from monitoring.board import drawing
from monitoring.board.model import Board, duration

REFRESH_SECONDS: Final = 30

_FOLDER: Final = Path(__file__).parent
_MARKS: Final = {"good": "✓", "warning": "!", "bad": "✕", "unknown": "?"}
_WORDS: Final = {"good": "well", "warning": "look at it", "bad": "broken", "unknown": "not known"}


def board(shown: Board, *, refresh: bool = True) -> str:
    """The page of all partners, or of one."""
    return (
        _environment()
        .get_template("board.html.j2")
        .render(board=shown, root="", refresh=REFRESH_SECONDS if refresh else 0)
    )


def message(title: str, *sentences: str, forward: str = "", root: str = "") -> str:
    """A page that says something; goes on to ``forward`` at once where that is given."""
    return (
        _environment()
        .get_template("message.html.j2")
        .render(title=title, sentences=sentences, forward=forward, root=root)
    )


def runbook(name: str, text: str) -> str:
    """A runbook, from its Markdown. HTML in it is shown as it is written."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for link in (one for token in tokens for one in token.children or () if one.type == "link_open"):
        # Other pages are in the repository, not here.
        if str(link.attrs["href"]).startswith("../"):
            link.attrs = {"title": str(link.attrs["href"])}
    return (
        _environment()
        .get_template("runbook.html.j2")
        .render(
            name=name,
            body=Markup(markdown.renderer.render(tokens, markdown.options, {})),  # noqa: S704 (made without raw HTML)
            root="../",
        )
    )


def asset(name: str) -> str:
    """A file that pages name: board.css or board.js."""
    return (_FOLDER / "static" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": duration, "amount": amount, "utc": utc, "day": day}
    environment.globals |= {"drawing": drawing, "marks": _MARKS, "state_words": _WORDS}
    return environment


def amount(value: float) -> str:
    """For people: whole from 100 on, else three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


def utc(moment: datetime) -> str:
    """A moment, to the minute."""
    return f"{moment.astimezone(UTC):%-d %b %H:%M} UTC"


def day(moment: datetime) -> str:
    """The day of a moment."""
    return f"{moment.astimezone(UTC):%-d %B %Y}"
