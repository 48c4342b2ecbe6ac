"""Opens the engine that a command uses: the official one where it can be had, else the embedded one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from infra import paths
from infra.cli.engines import choice
from infra.cli.engines.protocol import Engine, Target
from infra.cli.failure import Failure
from infra.cli.runlog import RunLog
from infra.cli.session import Session
from infra.cli.views.screen import Screen


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
    from infra.cli.engines.embedded import Embedded  # noqa: PLC0415 - only the engine in use is loaded

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
    from infra.cli.engines import official  # noqa: PLC0415 - only the engine in use is loaded

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
