"""The dispatch in this process, as the operator runs it: with its ledger, its figures, and its own bounds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from operators.catalog import FAMILIES
from operators.dispatch.access import Credentials
from operators.dispatch.run import Dispatch, Settings
from operators.exposition.store import Store
from operators.kube.client import connect
from operators.ledger.remote import RemoteLedger
from operators.usage.accounts import RemoteAccounts
from operators.usage.remote import RemoteUsage
from tests.cluster.remote_world import running
from tests.cluster.tenant_controller import NAMESPACE
from tests.remote.slurm import OTHER_PROJECT, PROJECT
from tests.remote.world import World


@contextmanager
def operating(world: World, folder: Path) -> Iterator[Store]:
    """Its figures, while it runs instead of ``world.operator``. ``folder`` takes the ledger."""
    world.operator.kill()
    world.slurm.go_right()
    limit = ("set", "GrpTRESMins=gres/gpu=60000000")  # without one the site tells nothing of a project
    for project in (PROJECT, OTHER_PROJECT):
        world.slurm.run("sacctmgr", "--immediate", "modify", "account", project, *limit)
    store, ledger = Store(FAMILIES), RemoteLedger(folder / "ledger.sqlite")
    cluster = connect(world.operator.kubeconfig, long_lived=True)
    settings = Settings(namespace=NAMESPACE, identity="one")
    accounts = RemoteAccounts(RemoteUsage(store, ledger))
    access = Credentials(world.operator.credentials)
    dispatch = Dispatch(cluster, settings, access=access, accounts=accounts)
    try:
        with running(dispatch, 60):
            yield store
    finally:
        ledger.close()
        cluster.close()
        world.slurm.go_right()
