"""Kill `antenna up` at points spread over its run, and see that the next one converges. On demand:

    python -m tests.live.crash_up --points 12

For each point: an empty host, `up` killed with SIGKILL after its share of a whole run's time, then a second
`up`, which must succeed; then the site must be healthy, a third `up` must have nothing to do, and the host
must hold what an uncut run leaves there and nothing else. Exit status 1 when any point fails.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from infra import paths
from infra.provider.leftovers import list_traces
from tests.live.site_under_test import ANTENNA, SiteUnderTest

STATE = Path.home() / ".pulumi/stacks/antenna"
# Processes come and go inside the machines; what must be the same after each run are these.
LASTING = ("mount", "link", "nftables table", "cgroup", "folder")


def main() -> int:
    """Run all points; print a line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=12, help="how many (default 12)")
    parser.add_argument("--first", type=int, default=1, help="start at this one (default 1)")
    asked = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        site = SiteUnderTest("crash", Path(folder) / "Pulumi.crash.yaml", ("10.107.", "10.108.", "10.109."))
        site.antenna("down", "--yes")
        started = time.monotonic()
        site.antenna("up", "--yes", timeout=3600)
        whole = time.monotonic() - started
        print(f"an uncut run takes {whole:.0f} s", flush=True)
        expected = lasting_traces(site.stack)
        failed = 0
        for point in range(asked.first, asked.points + 1):
            site.antenna("down", "--yes")
            after = whole * point / (asked.points + 1)
            try:
                seconds = killed_then_up(site, after, expected)
                print(
                    f"point {point:2}: killed after {after:5.1f} s, converged in {seconds:5.1f} s", flush=True
                )
            except (AssertionError, subprocess.SubprocessError) as problem:
                failed += 1
                print(f"point {point:2}: killed after {after:5.1f} s, FAILED: {problem}", flush=True)
        site.antenna("down", "--yes")
        print(f"{asked.points - asked.first + 1 - failed} passed, {failed} failed")
        return 1 if failed else 0


def killed_then_up(site: SiteUnderTest, after: float, expected: Counter[str]) -> float:
    """Seconds that the second `up` took."""
    command = [str(ANTENNA), "up", "--stack", site.stack, "--config-file", str(site.file), "--yes"]
    with subprocess.Popen(
        command, cwd=paths.REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as up:
        time.sleep(after)
        up.send_signal(signal.SIGKILL)
    state = STATE / f"{site.stack}.json"
    if state.exists():
        json.loads(state.read_text())
    started = time.monotonic()
    site.antenna("up", "--yes")
    seconds = time.monotonic() - started
    overview = json.loads(site.antenna("status", "--json").stdout)
    assert overview["healthy"], overview
    assert site.changes("up", "--yes") == {}, "a third up had something left to do"
    assert lasting_traces(site.stack) == expected, lasting_traces(site.stack) - expected
    return seconds


def lasting_traces(stack: str) -> Counter[str]:
    """How many of each lasting kind of trace the stack has on this host."""
    return Counter(trace.kind for trace in list_traces(stack) if trace.kind in LASTING)


if __name__ == "__main__":
    raise SystemExit(main())
