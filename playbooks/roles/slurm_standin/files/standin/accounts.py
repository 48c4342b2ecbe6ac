"""Brings logins and Slurm's accounting to the projects that were declared; prints a line a difference."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import entry

KEEP = frozenset({"root"})
"""Slurm's own: the account at the top, and its user."""

PRIVATE = 0o700
"""Mode of a home: what a partner's jobs write there is for its login alone."""

PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
USER = re.compile(r"[a-z][a-z0-9_-]{0,31}")


@dataclass(frozen=True)
class Declared:
    """What Slurm's accounting holds of a site: QOS {name: limits}, and (account, user) pairs."""

    qos: dict[str, str]
    pairs: frozenset[tuple[str, str]]
    closed: frozenset[tuple[str, str]] = frozenset()
    """Pairs that may submit nothing: they were to go, and had jobs then."""

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
    shown = _sacctmgr("show", "assoc", "format=Account,User,MaxSubmitJobs")
    pairs = {
        (account, user): most
        for account, user, most, *_ in (line.split("|") for line in shown.splitlines() if line)
        if user and account not in KEEP
    }
    return Declared(limits, frozenset(pairs), frozenset(pair for pair, most in pairs.items() if most == "0"))


def changes(there: Declared, declared: Declared) -> list[tuple[str, ...]]:
    """The sacctmgr calls from one to the other, in their order. Pure."""
    calls: list[tuple[str, ...]] = []
    for name, limits in sorted(declared.qos.items()):
        if name not in there.qos:
            calls.append(("add", "qos", name, *limits.split()))
        elif there.qos[name] != limits:
            calls.append(("modify", "qos", name, "set", *limits.split()))
    works = {user for _, user in declared.pairs}
    # Its default account can be taken from a user with all others only.
    calls += [("delete", "user", f"name={u}") for u in sorted({u for _, u in there.pairs} - works)]
    calls += [
        ("delete", "user", f"name={u}", f"account={a}")
        for a, u in sorted(there.pairs - declared.pairs)
        if u in works
    ]
    calls += [
        ("modify", "user", "where", f"name={u}", f"account={a}", "set", "MaxSubmitJobs=-1")
        for a, u in sorted(there.closed & declared.pairs)
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
    lines = [*_logins(told, check=check), *_directories(told, check=check)]
    if not _cluster_known(told.site["name"]):
        lines.append(f"cluster {told.site['name']}: missing")
        if not check:
            _sacctmgr("add", "cluster", told.site["name"])
    for call in changes(found(), declared):
        lines.append(f"sacctmgr {' '.join(call)}")
        if not check:
            _change(*call)
    print("\n".join(lines), end="")


def _logins(told: entry.Entry, *, check: bool) -> Iterable[str]:
    keys: dict[str, list[str]] = {told.reader: list(told.reader_keys)} if told.reader else {}
    for account in told.accounts:
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
        if stat.S_IMODE(home.stat().st_mode) != PRIVATE:
            yield f"home of {user}: others may look into it"
            if not check:
                home.chmod(PRIVATE)
        path = home / ".ssh" / "authorized_keys"
        if not path.is_file() or path.read_text() != text:
            yield f"keys of {user}: differ"
            if not check:
                _write_keys(path, text, user)


def _directories(told: entry.Entry, *, check: bool) -> Iterable[str]:
    """Where a project's files lie, for the login alone that works for it."""
    for pattern in told.site["projects"].get("directories", ()):
        for project, user in dict.fromkeys((account.project, account.user) for account in told.accounts):
            path = Path(pattern.replace("{project}", project))
            try:
                owner = pwd.getpwnam(user).pw_uid
                there = path.is_dir() and (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode))
            except KeyError:
                owner, there = -1, False
            if there == (owner, PRIVATE):
                continue
            yield f"directory {path}: not {user}'s alone"
            if not check:
                path.mkdir(parents=True, exist_ok=True)
                path.chmod(PRIVATE)
                shutil.chown(path, user, user)


def _write_keys(path: Path, text: str, user: str) -> None:
    owner = pwd.getpwnam(user)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    for what in (path.parent, path):
        os.chown(what, owner.pw_uid, owner.pw_gid)


def _cluster_known(name: str) -> bool:
    return name in _sacctmgr("show", "cluster", "format=Cluster").replace("|", " ").split()


def _change(*words: str) -> None:
    """Make it so. Who has jobs there is not taken away: it submits no more, and goes when they have ended."""
    leaves = words[:2] == ("delete", "user")
    if leaves and _has_jobs(words[2].removeprefix("name=")):
        _sacctmgr("modify", "user", "where", *words[2:], "set", "MaxSubmitJobs=0")
        return
    done = _run(*words)
    if done.returncode and leaves and "active" in done.stdout + done.stderr:
        _sacctmgr("modify", "user", "where", *words[2:], "set", "MaxSubmitJobs=0")
    elif done.returncode:
        raise SystemExit(f"`sacctmgr {' '.join(words)}`: {(done.stderr or done.stdout).strip()}")


def _has_jobs(user: str) -> bool:
    """Whether the scheduler has any: the accounting hears of them later. One that does not run has none."""
    argv = ["squeue", "--noheader", f"--user={user}", "--format=%i"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and bool(done.stdout.strip())


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    argv = ["sacctmgr", "--immediate", "--noheader", "--parsable2", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def _sacctmgr(*words: str) -> str:
    done = _run(*words)
    if done.returncode:
        raise SystemExit(f"`sacctmgr {' '.join(words)}`: {(done.stderr or done.stdout).strip()}")
    return done.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
