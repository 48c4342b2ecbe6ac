"""One run of a playbook, as a process of its own: reads a request on stdin, writes events as JSON lines.

It ends when its parent does, and takes everything that it started with it: ssh's masters and Ansible's
workers detach from their parents, so it makes itself the one that orphans fall to.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import ansible_runner
import yaml

FOLDER = Path(__file__).resolve().parent
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


@dataclass
class Events:
    """Turns ansible-runner's events into our own lines, and keeps the full log."""

    plays: int
    log: IO[str]
    out: IO[str]
    play: int = 0
    named: set[str] = field(default_factory=set)

    def emit(self, **event: Any) -> None:
        """One event, one line."""
        self.out.write(json.dumps(event) + "\n")
        self.out.flush()

    def handle(self, event: dict[str, Any]) -> bool:
        """ansible-runner's callback. False: it shall keep no copy of the event."""
        if event.get("stdout"):
            self.log.write(event["stdout"] + "\n")
            self.log.flush()
        kind, data = event["event"], event.get("event_data", {})
        if kind == "playbook_on_play_start" and data["play_uuid"] not in self.named:
            # A rolling change starts its play once a batch.
            self.named.add(data["play_uuid"])
            self.play += 1
        elif kind == "runner_on_start":
            where = f"play {self.play}/{self.plays} {data['play'].lower()}"
            self.emit(event="progress", line=f"{where}: {bare(data['task'])} ({data['host']})")
        elif kind in ("runner_on_ok", "runner_item_on_ok") and data["res"].get("changed"):
            if "results" not in data["res"]:  # a loop's items have told it, each for itself
                self.emit(event="changed", **result(data))
        elif kind in ("runner_on_failed", "runner_on_unreachable"):
            if not data.get("ignore_errors"):
                self.emit(event="failed", unreachable=kind == "runner_on_unreachable", **result(data))
        elif kind == "playbook_on_stats":
            self.emit(event="recap", recap=recap(data))
        return False


def bare(task: str) -> str:
    """A task's name without its role's, which the play's name and the log already tell."""
    return task.rpartition(" : ")[2]


def result(data: dict[str, Any]) -> dict[str, Any]:
    """Host, task, item, reason and differences of one task's result."""
    res = data["res"]
    return {
        "host": data["host"],
        "task": bare(data["task"]),
        "item": label(res),
        "reason": reason(res),
        "changes": res.get("changes") or [],
    }


def label(res: dict[str, Any]) -> str:
    """What a loop calls its item; empty outside of loops."""
    return str(res.get("_ansible_item_label", res.get("item", "")))


def reason(res: dict[str, Any]) -> str:
    """Why a task failed, in its own words and in those of the program that it ran; of a loop, each item's.

    A command's message says no more than that it ended with another code, and under ansible-core 2.21 a
    ``failed_when`` puts its own words there: what the program said is added, wherever it said it.
    """
    if failed := [one for one in res.get("results") or () if one.get("failed")]:
        return "\n".join(f"{label(one)}: {reason(one)}" for one in failed)
    said = [text(res.get("msg"))]
    streams = [text(res.get(name)) for name in ("stderr", "module_stderr", "stdout", "module_stdout")]
    said += [stream for stream in streams if stream and stream not in said[0]][:1]
    told = "\n".join(line for line in said if line)
    return told or text(res.get("exception")) or "it gave no reason"


def text(value: Any) -> str:
    """A message as lines: modules give text, lists and mappings."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "\n".join(map(text, value)).strip()
    return (value if isinstance(value, str) else json.dumps(value, default=str)).strip()


def recap(data: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Results a host, as Ansible's own recap counts them."""
    columns = {
        "ok": "ok", "changed": "changed", "failed": "failures", "unreachable": "dark", "skipped": "skipped",
    }  # fmt: skip
    hosts = sorted({host for column in columns.values() for host in data.get(column, {})} - {"localhost"})
    return {
        host: {name: int(data.get(column, {}).get(host, 0)) for name, column in columns.items()}
        for host in hosts
    }


def descendants(ancestor: int) -> list[int]:
    """Processes below ``ancestor``, read from /proc; none on a system without it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, queue = [], [ancestor]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def end_descendants() -> None:
    """Kill everything that this run started; again, for what was just being started."""
    while pids := descendants(os.getpid()):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.02)


def bind_to_parent(parent: int, control_dir: str) -> None:
    """End with the parent, and adopt every orphan of ours. Linux only; elsewhere runs end by themselves."""

    def stop(number: int, _: object) -> None:
        end_descendants()
        shutil.rmtree(control_dir, ignore_errors=True)
        os._exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before this line
            sys.exit(1)


def settings(request: dict[str, Any]) -> dict[str, str]:
    """Environment of ansible-playbook: what ansible.cfg cannot know."""
    options = ("ControlMaster=auto", "ControlPersist=60s", "StrictHostKeyChecking=yes")
    ssh = ["-F", request["ssh_config"], *(word for option in options for word in ("-o", option))]
    return {
        # Named, so that none is picked up from elsewhere.
        "ANSIBLE_CONFIG": str(FOLDER / "ansible.cfg"),
        "ANSIBLE_SSH_ARGS": " ".join(ssh),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": request["control_dir"],
        # ansible-runner turns it off unless it is named here.
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_FORKS": str(request["forks"]),
        # A run stops everywhere at the first failure; a check looks at whatever answers.
        "ANSIBLE_ANY_ERRORS_FATAL": str(not request["check"]),
        "ANSIBLE_HOME": request["work_dir"],
        "ANSIBLE_LOCAL_TEMP": str(Path(request["work_dir"]) / "tmp"),
        "LC_ALL": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def main() -> None:
    """Run the playbook that the request names. Exit status: 0 when it succeeded."""
    request = json.loads(sys.stdin.readline())
    bind_to_parent(request["parent"], request["control_dir"])
    playbook = FOLDER / request["playbook"]
    plays = len(yaml.safe_load(playbook.read_text()))
    with Path(request["log"]).open("a", encoding="utf-8") as log:
        events = Events(plays, log, sys.stdout)
        runner = ansible_runner.run(
            private_data_dir=request["work_dir"],
            ident="run",
            project_dir=str(FOLDER),
            playbook=str(playbook),
            inventory=request["inventory"],
            cmdline="--check" if request["check"] else None,
            limit=request["limit"],
            extravars=request["extra"] or None,
            envvars=settings(request),
            settings={"suppress_ansible_output": True},
            suppress_env_files=True,
            event_handler=events.handle,
            # Given, so that ansible-runner leaves our signal handlers in place.
            cancel_callback=lambda: False,
            quiet=True,
        )
        if runner.rc:
            # What stops Ansible before its first event is only in its output.
            events.emit(event="ended", rc=runner.rc, output=runner.stdout.read()[-2000:])
    end_descendants()
    shutil.rmtree(request["control_dir"], ignore_errors=True)
    sys.exit(0 if runner.rc == 0 else 1)


if __name__ == "__main__":
    main()
