"""What a person sees while a command runs: live on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from infra.cli.engines.events import PAST, PRESENT, Event, Note, describe, is_ours
from infra.cli.runlog import RunLog

# In a log, a resource that works for long says what it is doing this often, in seconds.
PLAIN_INTERVAL = 10.0

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"

_STYLE = {"create": "green", "update": "yellow", "delete": "red", "replace": "magenta", "import": "green"}


@dataclass
class _Working:
    """Something under way: its line in the live region."""

    title: str
    since: float
    told: float
    status: str = ""


class Screen:
    """Shows phases, steps and messages; writes all of them to the log too. Threads may share it."""

    def __init__(self, log: RunLog, *, stderr: bool = False, silent: bool = False) -> None:
        """``stderr`` leaves stdout to the one document that --json prints."""
        self.console = Console(
            stderr=stderr,
            quiet=silent,
            highlight=False,
            soft_wrap=True,
            # A log has no width to fit into.
            width=None if _terminal(stderr) else 160,
            force_terminal=None if _terminal(stderr) else False,
        )
        self.log = log
        self.durations: dict[str, float] = {}
        self._spans: dict[str, tuple[float, float]] = {}
        self._live: Live | None = None
        self._working: dict[str, _Working] = {}
        self._lock = threading.RLock()

    @property
    def live(self) -> bool:
        """Whether lines can be rewritten in place."""
        return self.console.is_terminal and not self.console.is_dumb_terminal

    def say(self, text: str, style: str = "") -> None:
        """One line that stays."""
        with self._lock:
            self.log.write(text)
            self.console.print(Text(text, style=style))

    def show(self, picture: RenderableType) -> None:
        """Something larger than a line, a table; in a log without the blanks that fill a terminal's lines."""
        if self.live:
            self.console.print(picture)
            return
        with self.console.capture() as captured:
            self.console.print(picture)
        for line in captured.get().splitlines():
            self.console.print(Text(line.rstrip()))

    def warn(self, text: str) -> None:
        """One line that stays, and stands out."""
        self.say(f"warning: {text}", "yellow")

    @contextmanager
    def phase(self, title: str) -> Iterator[None]:
        """A part of the command, timed: its duration is in ``durations`` afterwards."""
        began = time.monotonic()
        self.begin(title, title)
        try:
            with self._region():
                yield
        finally:
            self.durations[title] = time.monotonic() - began
            with self._lock:
                self._working.clear()

    @contextmanager
    def board(self) -> Iterator[Callable[[RenderableType], None]]:
        """A picture that is shown anew each time it is given; it stays at the end. Only on a terminal."""
        if not self.live:
            yield lambda _: None
            return
        with Live(console=self.console, auto_refresh=False) as live:
            yield lambda picture: live.update(picture, refresh=True)

    def begin(self, key: str, title: str) -> None:
        """Something is under way from now on."""
        now = time.monotonic()
        with self._lock:
            self._working[key] = _Working(title, now, now)

    def status(self, key: str, text: str) -> None:
        """What that something is doing now. In a log this is told now and then, not each time."""
        with self._lock:
            self.log.write(f"  {key}: {text}")
            working = self._working.get(key)
            if working is None:
                return
            working.status = " ".join(text.split())
            now = time.monotonic()
            if not self.live and now - working.told >= PLAIN_INTERVAL:
                working.told = now
                self.console.print(Text(f"  {working.title}: {working.status} ({now - working.since:.0f}s)"))

    def end(self, key: str) -> float:
        """That something is over; returns the seconds it took."""
        with self._lock:
            working = self._working.pop(key, None)
            return time.monotonic() - working.since if working else 0.0

    def event(self, event: Event) -> None:
        """One event of an engine that changes things."""
        if isinstance(event, Note):
            self._note(event)
        elif not is_ours(event.urn) or event.op not in PRESENT:
            self.log.write(f"  {event.op} {event.urn} {event.stage}")
        elif event.stage == "begun":
            self.begin(event.urn, f"{PRESENT[event.op]} {event.kind} {event.name}")
            for change in event.changes:
                self.log.write(f"    {describe(change)}")
        else:
            took = self.end(event.urn)
            failed = event.stage == "failed"
            word = "FAILED" if failed else PAST[event.op]
            if failed or event.op not in ("refresh", "read"):
                self._spend(event.kind, took)
                text = f"  {word:<12} {event.kind:<9} {event.name:<24} {took:5.1f}s"
                self.say(text, "bold red" if failed else _STYLE.get(event.op, ""))

    @property
    def spans(self) -> dict[str, float]:
        """Seconds from the first begin to the last end of what changed, by kind of resource."""
        return {kind: last - first for kind, (first, last) in self._spans.items()}

    def _spend(self, kind: str, took: float) -> None:
        now = time.monotonic()
        first, _ = self._spans.get(kind, (now, now))
        self._spans[kind] = (min(first, now - took), now)

    def _note(self, note: Note) -> None:
        if note.ephemeral:
            self.status(note.urn, note.text)
            return
        who = f"{note.urn.rpartition('::')[2]}: " if note.urn else ""
        text = f"{who}{note.text.strip()}"
        # Errors are told together at the end, when the command gives up on them.
        if note.severity == "warning":
            self.warn(text)
        elif note.severity == "info" and note.text.strip():
            self.say(f"  {text}", "dim")
        else:
            self.log.write(f"  {note.severity}: {text}")

    @contextmanager
    def _region(self) -> Iterator[None]:
        if not self.live or self._live is not None:
            yield
            return
        with Live(
            get_renderable=self._render, console=self.console, refresh_per_second=8, transient=True
        ) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def _render(self) -> RenderableType:
        with self._lock:
            now = time.monotonic()
            # Ten at most, oldest first: the region must fit under what scrolls.
            frame = FRAMES[int(now * 10) % len(FRAMES)]
            lines = [
                Text(f"{frame} {_line(w, now)}", overflow="ellipsis", no_wrap=True)
                for w in list(self._working.values())[:10]
            ]
            return Group(*lines)


def _line(working: _Working, now: float) -> str:
    status = f"  {working.status}" if working.status else ""
    return f"{working.title} {now - working.since:.0f}s{status}"


def _terminal(stderr: bool) -> bool:
    return (sys.stderr if stderr else sys.stdout).isatty()
