"""One command's run: its options, its screen, its log, and how any error reaches a person."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from infra import paths
from infra.cli.failure import EXIT_CODES, Failure, WrongInput
from infra.cli.runlog import RunLog

if TYPE_CHECKING:
    # Each command pays for what it uses: a screen and the site's models are half a second.
    from infra.cli.engines.choice import Asked
    from infra.cli.views.screen import Screen
    from infra.site import Site

F = TypeVar("F", bound=Callable[..., Any])
Option = Literal["stack", "config-file", "engine", "json", "yes", "kubeconfig"]


def _checked_stack(name: str) -> str:
    if not paths.STACK_NAME.match(name):
        raise click.BadParameter(
            f"{name!r} is no stack's name: 1 to 12 characters of a-z, 0-9 and '-', a letter first"
        )
    return name


def _stack_from_environment() -> str:
    """$ANTENNA_STACK, else embedded. Raises click.BadParameter for what is no stack's name."""
    return _checked_stack(os.environ.get("ANTENNA_STACK") or "embedded")


def _file_from_environment() -> Path | None:
    """$ANTENNA_CONFIG_FILE, where a site's file is not beside Pulumi.yaml."""
    named = os.environ.get("ANTENNA_CONFIG_FILE")
    return Path(named).resolve() if named else None


def _kubeconfig_from_environment() -> Path | None:
    """$ANTENNA_KUBECONFIG, the credentials of a partner's verbs."""
    named = os.environ.get("ANTENNA_KUBECONFIG")
    return Path(named).resolve() if named else None


@dataclass
class Session:
    """What every command has. Options given before or after the command's name are the same."""

    stack: str = field(default_factory=_stack_from_environment)
    engine: Asked = "auto"
    json: bool = False
    yes: bool = False
    config_file: Path | None = field(default_factory=_file_from_environment)
    kubeconfig: Path | None = field(default_factory=_kubeconfig_from_environment)
    """Whose rights a partner's verb has, where it is said; else see ``access.credentials``."""
    _screen: Screen | None = field(default=None, repr=False)

    def begin(self, verb: str) -> Screen:
        """The screen, with a log behind it that is not on the disk yet."""
        from infra.cli.views.screen import Screen  # noqa: PLC0415 (see above)

        self._screen = Screen(RunLog(paths.logs(self.stack), verb), stderr=self.json)
        return self._screen

    @property
    def site_file(self) -> Path:
        """The file that describes the site."""
        return self.config_file or paths.site_file(self.stack)

    def site(self) -> Site:
        """The site, every rule of it checked. Raises SiteError."""
        from infra import sitefile  # noqa: PLC0415 (see above)

        site = sitefile.load(self.site_file)
        if site.stack != self.stack:
            raise WrongInput(
                f"{self.site_file} describes the stack {site.stack}, not {self.stack}",
                f"add --stack {site.stack}, or name the file Pulumi.{self.stack}.yaml",
            )
        return site

    def save_trace(self, trace: str) -> Path:
        """Put the log on the disk with a trace at its end; not into a stack's folder that nobody has made."""
        log = (self._screen or self.begin("antenna")).log
        if not log.opened and not paths.stack_dir(self.stack).exists():
            log.path = Path(tempfile.mkdtemp(prefix="antenna-")) / log.path.name
        log.open()
        log.write(trace)
        return log.path

    def command(self, verb: str) -> str:
        """A command line for this stack, to tell the user."""
        stack = "" if self.stack == "embedded" else f" --stack {self.stack}"
        return f"antenna {verb}{stack}" + (f" --config-file {self.config_file}" if self.config_file else "")


_OF_THE_SITE_FILE = (("infra.site", "SiteError"),)
_OF_HOST_OR_SITE = (
    ("infra.tools.failure", "ToolError"),
    ("infra.provider.kind", "ProviderError"),
    ("operators.kube.errors", "KubernetesError"),
)


def _is_one_of(error: Exception, types: tuple[tuple[str, str], ...]) -> bool:
    """Whether it is of one of these types. Nothing is imported: what is not loaded has raised nothing."""
    return any(
        isinstance(error, getattr(sys.modules[module], name))
        for module, name in types
        if module in sys.modules
    )


class Verb(click.Command):
    """A command whose every error is one message: the cause, the next step, where the full trace is."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it, and turn what it raises into a Failure."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if _is_one_of(error, _OF_THE_SITE_FILE):
                raise WrongInput(str(error)) from error
            if _is_one_of(error, _OF_HOST_OR_SITE):
                doctor = ctx.ensure_object(Session).command("doctor")
                raise Failure(
                    str(error), f"`{doctor}` says what is wrong with the host and the site"
                ) from error
            text = f"{type(error).__name__}: {error}"
            log = ctx.ensure_object(Session).save_trace(traceback.format_exc())
            raise Failure(f"this should not have happened: {text}", f"the full log is {log}") from error


def options(*names: Option) -> Callable[[F], F]:
    """The options that commands share, on the group and on the commands that use them."""

    def decorate(function: F) -> F:
        for name in reversed(names):
            function = _OPTIONS[name](function)
        return function

    return decorate


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None and parameter.name:
        setattr(ctx.ensure_object(Session), parameter.name, value)


def _keep_stack(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    _keep(ctx, parameter, None if value is None else _checked_stack(value))


_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "stack": click.option(
        "--stack",
        metavar="NAME",
        expose_value=False,
        callback=_keep_stack,
        help="The site: Pulumi.NAME.yaml. Default: $ANTENNA_STACK, else embedded.",
    ),
    "config-file": click.option(
        "--config-file",
        type=click.Path(path_type=Path, dir_okay=False, resolve_path=True),
        expose_value=False,
        callback=_keep,
        help="The site's file. Default: $ANTENNA_CONFIG_FILE, else Pulumi.NAME.yaml of this folder.",
    ),
    "engine": click.option(
        "--engine",
        type=click.Choice(["auto", "pulumi", "embedded"]),
        expose_value=False,
        callback=_keep,
        help="auto: the pulumi CLI where it can be had, else the embedded engine.",
    ),
    "json": click.option(
        "--json",
        is_flag=True,
        default=None,
        expose_value=False,
        callback=_keep,
        help="One JSON document on stdout; messages go to stderr.",
    ),
    "yes": click.option(
        "--yes",
        "-y",
        is_flag=True,
        default=None,
        expose_value=False,
        callback=_keep,
        help="Ask nothing.",
    ),
    "kubeconfig": click.option(
        "--kubeconfig",
        type=click.Path(path_type=Path, dir_okay=False, exists=True, resolve_path=True),
        expose_value=False,
        callback=_keep,
        help="With whose rights. Default: $ANTENNA_KUBECONFIG, else those of `antenna login`, else the "
        "administrator's.",
    ),
}


def epilog(*examples: str) -> str:
    """A command's examples and the exit codes, for the end of its help."""
    shown = "\n".join(f"  {example}" for example in examples)
    return f"\b\nExamples:\n{shown}\n\n{EXIT_CODES}"
