"""Brings logins and Slurm's accounting to the projects that were declared; prints a line a difference."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import entry

KEEP = frozenset({"root"})
"""Slurm's own: the account at the top, and its user."""

PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
USER = re.compile(r"[a-z][a-z0-9_-]{0,31}")


@dataclass(frozen=True)
class Declared:
    """What Slurm's accounting holds of a site: QOS {name: limits}, and (account, user) pairs."""

    qos: dict[str, str]
    pairs: frozenset[tuple[str, str]]

    @property
    def accounts(self) -> frozenset[str]:
        """The accounts, with or without users."""
        return frozenset(account for account, _ in self.pairs)


def wanted(told: entry.Entry) -> Declared:
    """What should be there. Pure. Raises ValueError for names that Slurm or Linux would not take."""
    for account in told.accounts:
        if not PROJECT.fullmatch(account.project) or not USER.fullmatch(account.user):
            raise ValueError(f"{account.project!r} of {account.user!r} cannot be an account and a login")
    limits = {}
    for partition in told.site["partitions"]:
        of = partition["limits"]
        limits[partition["name"]] = (
            f"MaxJobsPerUser={of.get('running') or -1} MaxSubmitJobsPerUser={of.get('jobs') or -1}"
        )
    return Declared(limits, frozenset((a.project, a.user) for a in told.accounts))


def found() -> Declared:
    """What is there."""
    shown = _sacctmgr("show", "qos", "format=Name,MaxJobsPU,MaxSubmitPU")
    rows = [line.split("|") for line in shown.splitlines() if line]
    limits = {
        name: f"MaxJobsPerUser={running or -1} MaxSubmitJobsPerUser={jobs or -1}"
        for name, running, jobs, *_ in rows
        if name != "normal"
    }
    shown = _sacctmgr("show", "assoc", "format=Account,User")
    pairs = {tuple(line.split("|")[:2]) for line in shown.splitlines() if line}
    return Declared(limits, frozenset((a, u) for a, u in pairs if u and a not in KEEP))


def changes(there: Declared, declared: Declared) -> list[tuple[str, ...]]:
    """The sacctmgr calls from one to the other, in their order. Pure."""
    calls: list[tuple[str, ...]] = []
    for name, limits in sorted(declared.qos.items()):
        if name not in there.qos:
            calls.append(("add", "qos", name, *limits.split()))
        elif there.qos[name] != limits:
            calls.append(("modify", "qos", name, "set", *limits.split()))
    calls += [
        ("delete", "user", f"name={u}", f"account={a}") for a, u in sorted(there.pairs - declared.pairs)
    ]
    calls += [("add", "account", a) for a in sorted(declared.accounts - there.accounts)]
    calls += [
        ("add", "user", user, f"account={account}") for account, user in sorted(declared.pairs - there.pairs)
    ]
    return calls


def main(*flags: str) -> None:
    """Do it, or with ``--check`` only say it."""
    told = entry.read()
    declared = wanted(told)
    check = "--check" in flags
    lines = list(_logins(told.accounts, check=check))
    if not _cluster_known(told.site["name"]):
        lines.append(f"cluster {told.site['name']}: missing")
        if not check:
            _sacctmgr("add", "cluster", told.site["name"])
    for call in changes(found(), declared):
        lines.append(f"sacctmgr {' '.join(call)}")
        if not check:
            _sacctmgr(*call)
    print("\n".join(lines), end="")


def _logins(accounts: Iterable[entry.Account], *, check: bool) -> Iterable[str]:
    keys: dict[str, list[str]] = {}
    for account in accounts:
        keys.setdefault(account.user, []).extend(account.keys)
    for user, lines in sorted(keys.items()):
        text = "".join(f"{line}\n" for line in dict.fromkeys(lines))
        try:
            home = Path(pwd.getpwnam(user).pw_dir)
        except KeyError:
            yield f"login {user}: missing"
            if check:
                continue
            subprocess.run(["useradd", "--create-home", "--shell", "/bin/bash", user], check=True)
            home = Path(pwd.getpwnam(user).pw_dir)
        path = home / ".ssh" / "authorized_keys"
        if not path.is_file() or path.read_text() != text:
            yield f"keys of {user}: differ"
            if not check:
                _write_keys(path, text, user)


def _write_keys(path: Path, text: str, user: str) -> None:
    owner = pwd.getpwnam(user)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    for what in (path.parent, path):
        os.chown(what, owner.pw_uid, owner.pw_gid)


def _cluster_known(name: str) -> bool:
    return name in _sacctmgr("show", "cluster", "format=Cluster").replace("|", " ").split()


def _sacctmgr(*words: str) -> str:
    argv = ["sacctmgr", "--immediate", "--noheader", "--parsable2", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise SystemExit(f"`sacctmgr {' '.join(words)}`: {(done.stderr or done.stdout).strip()}")
    return done.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
