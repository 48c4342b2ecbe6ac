"""The engine that a command uses: one interface over the embedded and the official one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra import paths
from infra.cli import choice
from infra.cli.events import Event, Outcome, Resource
from infra.cli.failure import Failure
from infra.cli.runlog import RunLog
from infra.cli.screen import Screen
from infra.cli.session import Session

Listener = Callable[[Event], None]


class Engine(Protocol):
    """Runs the program. All but ``preview``, ``resources`` and ``holder`` change things and take the lock.

    Raises Locked when another run holds it, Failure when the engine cannot even start.
    """

    def preview(self, listen: Listener) -> Outcome:
        """What ``up`` would do. Touches nothing."""

    def up(self, listen: Listener, *, refresh: bool = False) -> Outcome:
        """Bring the site to its description."""

    def refresh(self, listen: Listener, *, targets: Sequence[str] = ()) -> Outcome:
        """Read what is there into the state: all, or the resources of these URNs."""

    def destroy(self, listen: Listener) -> Outcome:
        """Remove everything that the state knows."""

    def resources(self) -> list[Resource]:
        """The state's resources; none where there is no state."""

    def holder(self) -> tuple[str, bool]:
        """Who holds the lock and whether that process is gone; "" for nobody, or where it is not told."""


@dataclass(frozen=True)
class Target:
    """What an engine works on. ``config_file`` replaces Pulumi.<stack>.yaml; None for that file."""

    project: Path
    stack: str
    config_file: Path | None
    environment: Mapping[str, str]


def open_engine(session: Session, screen: Screen, *, touch: bool) -> Engine:
    """The engine to use, with one line that says which.

    Only with ``touch`` is anything made or fetched: the passphrase, the pulumi CLI.
    """
    asked = session.engine
    picked = choice.choose(choice.situation(asked))
    environment = {**os.environ, **passphrase(touch=touch)}
    target = Target(paths.REPOSITORY, session.stack, session.config_file, environment)
    if picked.engine == "pulumi" or (picked.engine == "install" and (touch or asked == "pulumi")):
        if (official := _official(target, asked, picked, screen)) is not None:
            return official
        picked = choice.Choice("embedded", "pulumi is not to be had here")
    screen.say(f"engine: embedded ({picked.why})", "dim")
    from infra.cli.embedded import Embedded  # noqa: PLC0415 - only the engine in use is loaded

    return Embedded(target)


def passphrase(*, touch: bool, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variable that gives the engines the passphrase of the state's secrets; {} when there is none.

    Without one of Pulumi's own variables it is a file of this user, made on first use if ``touch``.
    """
    if any(environment.get(f"PULUMI_CONFIG_PASSPHRASE{suffix}") is not None for suffix in ("", "_FILE")):
        return {}
    base = environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    path = Path(base) / "antenna" / "passphrase"
    if touch and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Whole or not at all, and only one of two runs wins: a passphrase that changes is a state lost.
        draft = path.with_name(f".passphrase-{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return {"PULUMI_CONFIG_PASSPHRASE_FILE": str(path)} if path.exists() else {}


def open_quietly(session: Session) -> Engine:
    """The engine to ask about the state; says nothing, makes nothing."""
    quiet = Screen(RunLog(paths.logs(session.stack), "state"), stderr=True, silent=True)
    return open_engine(session, quiet, touch=False)


def _official(target: Target, asked: choice.Asked, picked: choice.Choice, screen: Screen) -> Engine | None:
    """The official engine; None when it cannot be had and another will do."""
    if picked.engine == "install" and not choice.reachable():
        if asked == "auto":
            choice.remember_failure()
            return None
        raise Failure(
            f"pulumi is not on the PATH, and {choice.INSTALLER} does not answer",
            "put the pulumi CLI on the PATH, or use --engine embedded",
        )
    from infra.cli import official  # noqa: PLC0415 - only the engine in use is loaded

    try:
        command = official.command(picked)
    except official.UnusableError as error:
        if asked == "auto":
            screen.warn(f"{error}; the embedded engine is used instead")
            if picked.engine == "install":
                choice.remember_failure()
            return None
        raise Failure(str(error), "update the pulumi CLI, or use --engine embedded") from error
    screen.say(f"engine: pulumi {command.version} ({picked.why})", "dim")
    return official.Official(target, command)
