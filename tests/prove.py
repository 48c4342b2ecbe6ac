"""The slow proofs, which a test run leaves out or shortens: `make prove`, or `python -m tests.prove NAME`.

Each says what it proves and about how long it takes on two free cores. Exit status 1 when any fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from infra.paths import REPOSITORY


@dataclass(frozen=True)
class Proof:
    """A claim, and the tests that show it with the switches that let them take their time."""

    name: str
    claim: str
    minutes: int
    tests: tuple[str, ...]
    switches: dict[str, str] = field(default_factory=dict)

    @property
    def command(self) -> list[str]:
        """What is run; a module where no test file is named."""
        if self.tests[0].startswith("tests."):
            return [sys.executable, "-m", *self.tests]
        return [sys.executable, "-m", "pytest", "-q", "-rs", *self.tests]


PROOFS = (
    Proof(
        "dispatch",
        "the operator is killed 80 times and sbatch goes wrong 50 times: no remote job is lost, none doubled",
        30,
        ("tests/remote/test_dispatch.py",),
        {"ANTENNA_TEST_DISPATCH": "10:0:1800"},
    ),
    Proof(
        "outages",
        "the dispatch gets over a site that is away for two minutes at a time",
        15,
        ("tests/remote/test_dispatch_outages.py",),
        {"ANTENNA_TEST_OUTAGES": "120"},
    ),
    Proof(
        "ledger",
        "in 200 random sequences of outages the ledger loses no job and lets none go that it cannot charge",
        120,
        ("tests/remote/test_ledger_outages.py",),
        {"ANTENNA_TEST_LEDGER": "200"},
    ),
    Proof(
        "connections",
        "1,000 remote jobs use one connection, also while it flaps for ten minutes",
        25,
        ("tests/remote/test_dispatch_connections.py",),
        {"ANTENNA_TEST_CONNECTIONS": "1000:600:1000"},
    ),
    Proof(
        "truth-killed",
        "totals are exact though the operator is killed 100 times",
        20,
        ("tests/cluster/test_truth.py",),
        {"ANTENNA_TEST_RESTARTS": "100"},
    ),
    Proof(
        "truth-live",
        "of 200 real jobs every gauge is right at 20 moments, and every total at the end",
        15,
        ("tests/live/test_truth.py",),
        {"ANTENNA_TEST_TRUTH": "1"},
    ),
    Proof(
        "admission-live",
        "of 200 real jobs, good and bad: at 50 moments no partner runs on more GPUs than Kueue counts",
        10,
        ("tests/live/test_admission.py",),
        {"ANTENNA_TEST_ADMISSION": "200:50"},
    ),
    Proof(
        "gpu-seconds",
        "in 2,000 random histories GPU-seconds are the integral of what was held, and never go back",
        10,
        ("tests/unit/test_gpu_seconds.py",),
        {"ANTENNA_TEST_HISTORIES": "2000"},
    ),
    Proof(
        "partners",
        "of 23 partners, in all 506 ordered pairs, nobody reads, changes, queues or makes anything across, "
        "and no pod reaches another's",
        7,
        ("-s", "tests/cluster/test_partners_apart.py", "tests/host/test_partners_network.py"),
        {"ANTENNA_TEST_PARTNERS": "23"},
    ),
    Proof(
        "stream",
        "the operator holds what the API server holds, 1,000 objects, whatever breaks between them",
        8,
        ("tests/cluster/test_stream.py",),
        {"ANTENNA_TEST_OBJECTS": "1000"},
    ),
    Proof(
        "cuts",
        "tunnels to remote sites are cut for 30 and 120 s under load: no job is lost, none doubled",
        15,
        ("tests/live/test_remote_cuts.py",),
        {"ANTENNA_TEST_CUTS": "30 120 30"},
    ),
    Proof(
        "alerts",
        "alerts fire for what is wrong on a live site, after as long as they say, and end after it",
        25,
        ("tests/live/test_monitoring.py",),
        {"ANTENNA_TEST_ALERTS": "1"},
    ),
    Proof(
        "operator",
        "the operator is restarted 20 times under load: ready within 30 s, right at its first scrape",
        25,
        ("tests/live/test_operator_restarts.py",),
        {"ANTENNA_TEST_OPERATOR": "10"},
    ),
    Proof(
        "stand-ins",
        "the machine that plays LUMI has the site's limits and lets in who may; tunnels' keys are rotated",
        8,
        ("tests/host/test_standins.py", "tests/live/test_remote_sites.py"),
        {"ANTENNA_TEST_REMOTE": "1"},
    ),
    Proof(
        "crash-up",
        "`antenna up` is killed at 12 points of its run: the next one converges and nothing is left over",
        80,
        ("tests.live.crash_up", "--points", "12"),
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the proofs that are named, or all; a line each at the end."""
    chosen = _chosen(arguments)
    ended: list[tuple[Proof, bool, float]] = []
    for number, proof in enumerate(chosen, start=1):
        print(
            f"{proof.name} ({number} of {len(chosen)}), about {proof.minutes} min: {proof.claim}", flush=True
        )
        began = time.monotonic()
        done = subprocess.run(
            proof.command, cwd=REPOSITORY, env={**os.environ, **proof.switches}, check=False
        )
        ended.append((proof, done.returncode == 0, time.monotonic() - began))
    print("\nproof              seconds")
    for proof, holds, seconds in ended:
        print(f"{proof.name:<16}{seconds:>10.0f}  {'shown' if holds else 'NOT SHOWN'}: {proof.claim}")
    failed = [proof.name for proof, holds, _ in ended if not holds]
    if failed:
        print(
            f"next: the output above names what failed; `make prove ONLY='{failed[0]}'` runs that proof alone"
        )
    return 1 if failed else 0


def _chosen(arguments: Sequence[str] | None) -> list[Proof]:
    listed = "\n".join(f"  {proof.name:<14} {proof.minutes:>3} min  {proof.claim}" for proof in PROOFS)
    parser = argparse.ArgumentParser(
        prog="make prove",
        description=f"{__doc__}\nproofs:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [proof.name for proof in PROOFS]
    parser.add_argument("names", nargs="*", metavar="NAME", help="which to run (default: all)")
    asked = parser.parse_args(arguments).names
    if unknown := [name for name in asked if name not in names]:
        parser.error(f"there is no proof {unknown[0]!r}; there are: {', '.join(names)}")
    return [proof for proof in PROOFS if not asked or proof.name in asked]


if __name__ == "__main__":
    sys.exit(main())
