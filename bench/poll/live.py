"""A real Slurm with as many waiting jobs, on this host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.remote.slurm import PROJECT, SlurmSite, slurm_site


@contextmanager
def slurm_with_jobs(folder: Path, jobs: int) -> Iterator[SlurmSite]:
    """Up when entered, gone when left; all jobs are held in small-g. ``folder`` is new, its path short."""
    with slurm_site(folder, most_jobs=jobs + 1) as slurm:
        options = [
            *("--parsable", "--hold", f"--array=0-{jobs - 1}", f"--account={PROJECT}", "--partition=small-g"),
            *("--gres=gpu:1", "--cpus-per-task=7", "--mem=60G", "--time=2:00:00"),
            *(f"--job-name=antenna-{0:032x}", "--comment=antenna tenant-vib/train", "--wrap=true"),
        ]
        array = slurm.run("sbatch", *options).strip()
        # An array that waits is one record, and one row: what differs from it is a job of its own.
        if jobs > 1:
            slurm.run("scontrol", "update", f"JobId={array}_[0-{jobs - 2}]", "Priority=0")
        yield slurm


def up_in(folder: Path) -> SlurmSite:
    """The one that another process has raised there."""
    known_hosts = folder / "known_hosts"
    port = int(known_hosts.read_text().split("]:")[1].split()[0])
    return SlurmSite(folder, port, folder / "key", known_hosts, {})
