"""How a command ends when it cannot do what was asked."""

from __future__ import annotations

from typing import IO, Any

import click

EXIT_CODES = """\b
Exit codes:
  0  done
  1  failed
  2  wrong input: the site file, an option, an argument; nothing was touched
  3  this host cannot do it; nothing was touched
  4  another run holds the stack's lock
"""


class Failure(click.ClickException):
    """Ends the command with one message for a person: the cause, and the next step."""

    exit_code = 1

    def __init__(self, cause: str, next_step: str = "") -> None:
        super().__init__(cause)
        self.next_step = next_step

    def show(self, file: IO[Any] | None = None) -> None:
        """Write to stderr, so that what --json prints on stdout stays one document."""
        click.secho(f"error: {self.message}", err=True, file=file, fg="red")
        if self.next_step:
            click.echo(f"next:  {self.next_step}", err=True, file=file)


class WrongInput(Failure):
    """The site file, an option or an argument is wrong. Nothing was touched."""

    exit_code = 2


class RefusedHost(Failure):
    """This host cannot raise the site. Nothing was touched."""

    exit_code = 3


class Locked(Failure):
    """Another run holds the stack's lock."""

    exit_code = 4
