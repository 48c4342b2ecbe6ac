"""Two partners' RemoteJobs at one real Slurm, each as its own login; and what an earlier build had sent.

All is counted in Slurm's own accounting.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from operators.api import API_VERSION
from operators.api.remote_job import KIND
from operators.dispatch.access import READER
from operators.dispatch.decide import NAME_PREFIX
from operators.dispatch.reading import FINALIZER
from operators.sites.access import Submission
from operators.sites.slurm.access import SlurmAccess
from playbooks.roles.slurm_standin.files.standin import accounts
from tests.cluster.tenant_controller import eventually
from tests.remote.slurm import OTHER_PROJECT, PROJECT
from tests.remote.world import OTHER, PLACE, TENANT, World

pytestmark = pytest.mark.parametrize("world", [1], indirect=True)

LONG = "#!/bin/sh\nsleep 900\n"


def recorded(world: World, uid: str) -> list[tuple[str, str]]:
    """(login, project) of each job that Slurm ever took for a RemoteJob."""
    told = world.slurm.run(
        *("sacct", "-a", "-X", "-D", "-n", "-P", "--starttime=2020-01-01", "--format=User,Account"),
        f"--name={NAME_PREFIX}{uid}",
    )
    return [tuple(line.split("|")) for line in told.splitlines()]  # type: ignore[misc]


@contextmanager
def shut_out(world: World, tenant: str) -> Iterator[None]:
    """The partner's login takes no key any more, as a script of its own can have it."""
    keys = world.logins[tenant].home / ".ssh" / "authorized_keys"
    before = keys.read_text()
    keys.write_text("")
    world.slurm.drop_connections()
    try:
        yield
    finally:
        keys.write_text(before)


def test_each_partners_jobs_are_its_own_logins_and_one_that_is_shut_out_holds_nobody_else(
    world: World,
) -> None:
    world.awake()
    vib, ulb = world.submit(), world.submit(tenant=OTHER)
    eventually(lambda: world.are([vib], "succeeded") and world.are([ulb], "succeeded", OTHER), 120)
    assert recorded(world, world.uid(vib)) == [(world.logins[TENANT].user, PROJECT)]
    assert recorded(world, world.uid(ulb, OTHER)) == [(world.logins[OTHER].user, OTHER_PROJECT)]
    with shut_out(world, OTHER):
        # The first shows it, and what comes after it is not let go any more.
        first = world.submit(tenant=OTHER)
        eventually(lambda: "accept the key" in str(world.statuses(OTHER)[first].get("message")), 60)
        waits = world.submit(tenant=OTHER)
        eventually(lambda: world.statuses(OTHER)[waits].get("reason") == "SiteHealth", 60)
        assert "does not answer ulb's login" in world.statuses(OTHER)[waits]["message"]
        goes = world.submit()
        eventually(lambda: world.are([goes], "succeeded"), 120)
        assert world.states(OTHER)[waits] == "pending"
    eventually(lambda: world.are([first, waits], "succeeded", OTHER), 180)
    for name in (first, waits):
        assert recorded(world, world.uid(name, OTHER)) == [(world.logins[OTHER].user, OTHER_PROJECT)]
    assert recorded(world, world.uid(goes)) == [(world.logins[TENANT].user, PROJECT)]


def test_what_one_login_sent_for_all_partners_is_followed_to_its_end_and_nothing_is_sent_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build before submitted as the login that reads now, which was a member of all projects.

    It is killed with jobs that run, one that it was told of, one that it was not, and an intention that it
    sent nothing for.
    """
    reader, slurm = world.logins[READER], world.slurm
    world.awake()
    world.operator.kill()
    slurm.run("sacctmgr", "--immediate", "add", "user", reader.user, f"account={PROJECT}")
    short = "#!/bin/sh\nsleep 20\n"
    names = [world.submit(script) for script in (short, short, "true", LONG)]
    told, untold, never, ends = names
    uids = {name: world.uid(name) for name in names}
    with before(world) as access:
        for name in names:
            sent = None
            if name != never:
                sent = access.submit(submission(world, name))
            intended(world, name, None if name == untold else sent)
    # The stand-in takes it out of the projects: not from under its jobs, but nothing more is taken of it.
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    accounts._change("delete", "user", f"name={reader.user}")
    assert reader.user in slurm.run("sacctmgr", "-n", "-P", "show", "assoc", "format=User")
    refused = slurm.run(
        *("sbatch", f"--uid={reader.user}", f"--account={PROJECT}", "--partition=small-g", "--chdir=/"),
        text="#!/bin/sh\ntrue\n",
        check=False,
    )
    assert refused == ""
    assert accounts.found().closed == {(PROJECT, reader.user)}
    back = accounts.Declared({}, frozenset({(PROJECT, reader.user)}))
    opened = [call for call in accounts.changes(accounts.found(), back) if call[0] == "modify"]
    accounts._change(*opened[0])
    assert accounts.found().closed == frozenset()
    accounts._change("delete", "user", f"name={reader.user}")
    for words in ("leading as", r"is \d+ at", "leading as"):
        world.operator.start()
        world.operator.kill_when_it_says(words, 0.2, 120)
    world.operator.start()
    eventually(lambda: world.are([told, untold, never], "succeeded"), 240)
    eventually(lambda: world.are([ends], "running"), 60)
    world.delete(ends)
    eventually(lambda: ends not in world.states(), 120)
    pooled, own = [(reader.user, PROJECT)], [(world.logins[TENANT].user, PROJECT)]
    assert {name: recorded(world, uids[name]) for name in names} == {
        **dict.fromkeys((told, untold, ends), pooled),
        never: own,
    }
    states = {job.name: job.state.split()[0] for job in slurm.accounting()}
    assert states[f"{NAME_PREFIX}{uids[ends]}"] == "CANCELLED"
    eventually(lambda: gone(world), 60)


def gone(world: World) -> bool:
    """Whether the next run of the stand-in's role takes the login out of the project."""
    accounts._change("delete", "user", f"name={world.logins[READER].user}")
    there = world.slurm.run("sacctmgr", "-n", "-P", "show", "assoc", "format=User")
    return world.logins[READER].user not in there


@contextmanager
def before(world: World) -> Iterator[SlurmAccess]:
    """The site as the build before had it: as one login, which submits."""
    reader = world.logins[READER]
    options = {**world.slurm.access_options, "user": reader.user, "key": reader.key}
    access = SlurmAccess(**options)
    try:
        yield access
    finally:
        access.close()


def submission(world: World, name: str) -> Submission:
    found = world.find(name)
    assert found
    return Submission(
        *(f"{NAME_PREFIX}{world.uid(name)}", f"antenna {PLACE}/{name}", PROJECT, "small-g", 1, 1200),
        found["spec"]["script"],
        gpus_per_node=1,
        cores_per_task=1,
        memory_mib_per_node=1024,
    )


def intended(world: World, name: str, id_: int | None) -> None:
    """Its object is as the build before left it: no login in the attempt."""
    found = world.find(name)
    assert found
    attempt = {
        **{"number": 1, "asks": 1, "writer": "before/1", "name": f"{NAME_PREFIX}{world.uid(name)}"},
        **{"since": int(time.time()) - 3600, "asked": int(time.time()), "project": PROJECT},
        **{"site": found["spec"]["site"], "partition": "small-g"},
    }
    where = (API_VERSION, KIND, name, PLACE)
    world.cluster.patch(*where, {"metadata": {"finalizers": [FINALIZER]}})
    status = {"attempt": attempt if id_ is None else {**attempt, "id": id_}, "state": "pending"}
    world.cluster.patch(*where, {"status": status}, subresource="status")
