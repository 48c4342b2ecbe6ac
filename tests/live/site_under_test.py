"""A site of the tests' own: its file, and the commands that a person would type at it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from infra import paths

ANTENNA = Path(sys.executable).with_name("antenna")
KUBECTL = Path(sys.executable).with_name("kubectl")
EMBEDDED = paths.REPOSITORY / "Pulumi.embedded.yaml"

# The embedded site's ranges, tunnels last; a site of the tests' own takes others.
EMBEDDED_RANGES = ("10.77.", "10.78.", "10.79.", "10.76.")

Edit = Callable[[dict[str, Any]], None]


@dataclass
class SiteUnderTest:
    """One stack, described by a file that the tests may rewrite."""

    stack: str
    file: Path
    ranges: tuple[str, str, str, str]
    """Of machines, pods, services and tunnels: how their addresses begin."""
    config: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        text = EMBEDDED.read_text()
        for there, here in zip(EMBEDDED_RANGES, self.ranges, strict=True):
            text = text.replace(there, here)
        self.config = yaml.safe_load(text)
        self.write()

    def write(self, edit: Edit | None = None) -> None:
        """Write the site's file as the embedded site's, with an edit on top."""
        document = json.loads(json.dumps(self.config))
        if edit:
            edit(document["config"])
        self.file.write_text(yaml.safe_dump(document, sort_keys=False))

    def antenna(
        self, verb: str, *options: str, check: bool = True, timeout: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Run `antenna VERB`. What it printed is shown when a test fails."""
        command = [str(ANTENNA), "--stack", self.stack, "--config-file", str(self.file), verb, *options]
        started = time.monotonic()
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, cwd=paths.REPOSITORY
        )
        seconds = time.monotonic() - started
        print(f"$ antenna {verb} {' '.join(options)}  # exit {done.returncode}, {seconds:.1f} s")
        print(done.stdout[-8000:], done.stderr[-4000:], sep="\n")
        if check:
            assert done.returncode == 0, f"antenna {verb} failed: {done.stderr or done.stdout[-2000:]}"
        return done

    def changes(self, verb: str = "preview", *options: str) -> dict[str, str]:
        """What `antenna VERB --json` says would change (or did): {resource name: operation}."""
        steps = json.loads(self.antenna(verb, "--json", *options).stdout)["steps"]
        return {s["name"]: s["op"] for s in steps if s["op"] != "same"}

    @property
    def machines(self) -> list[dict[str, Any]]:
        """The machines, as the unedited file has them."""
        return list(self.config["config"]["site:machines"])

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get ARGUMENTS -o json`."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl as the site's operator."""
        command = [str(KUBECTL), "--kubeconfig", str(paths.kubeconfig(self.stack)), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, input=given)
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def on(self, machine: str, command: str) -> str:
        """Run a shell command on a machine of the site, over SSH."""
        outside = any(m["name"] == machine and m["role"] == "site" for m in self.machines)
        run = paths.stack_dir(self.stack) / "ansible" / ("sites" if outside else "")
        config = run / "ssh_config"
        done = subprocess.run(
            ["ssh", "-F", str(config), machine, command],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{machine}: {command}: {done.stderr}"
        return done.stdout


def without_remote_sites(config: dict[str, Any]) -> None:
    """Edit a stack file's ``config``: no remote sites, no links, nobody with projects there."""
    config["site:machines"] = [m for m in config["site:machines"] if m["role"] != "site"]
    del config["site:links"], config["site:sites"]
    for tenant in config["site:tenants"]:
        tenant.pop("allocations", None)
    config["site:oncall"].pop("sites")


def eventually(what: str, holds: Callable[[], Any], seconds: float = 90, every: float = 1.0) -> Any:
    """The first true value of ``holds``; fails with ``what`` when none comes in time."""
    end = time.monotonic() + seconds
    while True:
        if found := holds():
            return found
        assert time.monotonic() < end, f"not so after {seconds:.0f} s: {what}"
        time.sleep(every)
