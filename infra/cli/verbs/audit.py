"""`antenna audit`: who did what to a partner, from the API server's audit log."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from infra.cli.failure import Failure, WrongInput
from infra.cli.session import Session, Verb, epilog, options
from infra.cli.views.audit import Deed, deeds

FOLDER = "/var/log/kubernetes/audit"
"""Of the head: where the API server writes, and what it has put away of it."""
SECONDS = 300.0
"""To look through the whole log, a gigabyte at most."""

_AGO = re.compile(r"([1-9][0-9]{0,3})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


@click.command(
    cls=Verb,
    epilog=epilog(
        "antenna audit --tenant ugent",
        "antenna audit --tenant ugent --since 2h --all      what parts of the cluster did, too",
        "antenna audit --person ann --since 2026-12-01",
        "antenna audit --file audit.log --json | jq '.deeds[] | select(.refused)'",
    ),
)
@click.option("--tenant", metavar="NAME", help="To this partner only.")
@click.option("--person", metavar="NAME", help="By this person only, with the issuer's prefix or without.")
@click.option("--since", default="1d", show_default=True, metavar="2h|DATE", help="How far back.")
@click.option("--all", "everybody", is_flag=True, help="What parts of the cluster did, too.")
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A copy of the log in place of the head's.",
)
@options("stack", "config-file", "json")
@click.pass_obj
def audit(
    session: Session,
    *,
    tenant: str | None,
    person: str | None,
    since: str,
    everybody: bool,
    files: tuple[Path, ...],
) -> None:
    """Say who did what to a partner, from the API server's audit log.

    What was made, changed, deleted and read, and what was refused: for administrators, whose the log is.
    """
    screen = session.begin("audit")
    begin = moment(since, datetime.now(UTC))
    if tenant is not None and not _LABEL.fullmatch(tenant):
        raise WrongInput(f"{tenant!r} is no partner's name", "`antenna status` shows all of them")
    text = [path.read_text() for path in files] or [_log_of_the_head(session, tenant, begin)]
    lines = (line for one in text for line in one.splitlines())
    found = deeds(lines, tenant=tenant, person=person, since=begin, everybody=everybody)
    if session.json:
        told = [{**asdict(deed), "refused": deed.refused, "text": deed.sentence()} for deed in found]
        click.echo(json.dumps({"stack": session.stack, "deeds": told}, default=str, indent=2))
        return
    for line in shown(found):
        screen.say(line)
    if not found:
        screen.say(f"nobody did anything since {begin:%Y-%m-%d %H:%M} UTC")


def shown(found: Sequence[Deed]) -> list[str]:
    """A line a deed: when (in UTC), what, from where."""
    return [
        f"{deed.at:%Y-%m-%d %H:%M:%S}  {deed.sentence()}" + (f"  from {deed.source}" if deed.source else "")
        for deed in found
    ]


def moment(said: str, now: datetime) -> datetime:
    """A moment so long ago, or the beginning of a day in UTC. Raises WrongInput."""
    if ago := _AGO.fullmatch(said):
        return now - timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        raise WrongInput(f"--since {said} is no moment", "write 30m, 2h, 7d or 2026-12-01") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def command(tenant: str | None, since: datetime) -> str:
    """What is run on the head: the lines of files that were written since, and name a partner.

    Files that are kept are compressed.
    """
    named = f"(tenant-)?{tenant}" if tenant else "tenant-[a-z0-9-]+"
    wanted = f'"(namespace|name)":"{named}"' if tenant else f'"{named}"|"resource":"(tenants|clusterqueues)"'
    newer = f"-newermt '{since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC'"
    files = f"find . -name 'audit*.log*' {newer} -print0"
    # grep fails where there is nothing to find: that is an answer.
    return f"cd {FOLDER} && {{ {files} | sort -z | xargs -0r zgrep -hE '{wanted}' || true; }}"


def _log_of_the_head(session: Session, tenant: str | None, since: datetime) -> str:
    from infra.cli.engines.open import open_quietly  # noqa: PLC0415 (a copy of the log needs neither)
    from infra.provider import ssh  # noqa: PLC0415
    from infra.provider.kind import ProviderError  # noqa: PLC0415

    head = session.site().head.name
    machines = [r for r in open_quietly(session).resources() if r.kind == "Machine" and r.name == head]
    if not machines:
        raise Failure(f"{head} is not there", f"`{session.command('up')}`")
    login = ssh.Login.of({**machines[0].inputs, **machines[0].outputs})
    asked = command(tenant, since)
    if login.user != "root":
        asked = f"sudo -n sh -c {shlex.quote(asked)}"
    try:
        return ssh.run(login, asked, timeout=SECONDS)
    except ProviderError as error:
        raise Failure(f"the audit log of {head} cannot be read: {error}", "`antenna doctor`") from error
