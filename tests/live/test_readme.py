"""The README's commands do what it says, typed as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from infra import paths
from tests.live.site_under_test import SiteUnderTest

TOO_MANY = "GPUs were admitted at once"
EVIDENCE = re.compile(r"read (\S+-demo\.log)")

# `make test` is this run, and `make down` must come last.
LEFT_OUT = ("make test",)
LAST = "make down"


def commands() -> list[str]:
    """Each line of the README's shell blocks, without its comment."""
    blocks = re.findall(
        r"^```sh\n(.*?)^```", (paths.REPOSITORY / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    lines = [re.sub(r"\s+#.*", "", line) for block in blocks for line in block.splitlines()]
    found = [line for line in lines if line and line not in LEFT_OUT]
    assert LAST in found
    return [line for line in found if line != LAST] + [LAST]


def run(lines: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["bash", "-c", "; ".join(lines)],
        cwd=paths.REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    print(f"$ {lines[-1]}  # exit {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
    return done


def test_every_command_of_the_readme_works(site: SiteUnderTest) -> None:
    environment = {
        **os.environ,
        "ANTENNA_STACK": site.stack,
        "ANTENNA_CONFIG_FILE": str(site.file),
    }
    exported: list[str] = []
    for line in commands():
        here = line.replace("embedded", site.stack)
        if here.startswith("export "):
            exported.append(here)
            continue
        if here.startswith("pulumi ") and not shutil.which("pulumi"):
            print(f"skipped, the pulumi CLI is not on the PATH: {here}")
            continue
        done = run([*exported, here], environment)
        if (log := EVIDENCE.search(done.stderr)) and TOO_MANY in done.stderr:
            # Kueue may show for a moment quota of a Workload that it has given to another already. Twice in a
            # row would be no such moment; who was stamped what and when is in the log.
            print(Path(log[1]).read_text()[-30_000:])
            done = run([*exported, here], environment)
        if done.returncode:
            pytest.fail(f"`{here}` ended with {done.returncode}: {done.stderr[-500:] or done.stdout[-500:]}")
