"""Deletes resources: which, in which order, and what interrupted runs left."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from infra.engine import graph
from infra.engine.errors import EngineError
from infra.engine.events import Diagnostic
from infra.engine.plugin import ProviderFailedError
from infra.engine.run import Run
from infra.engine.state import Resource
from infra.engine.steps import Deletion, HaltedError


def unregistered(run: Run) -> list[Deletion]:
    """Return what the state has and the program did not ask for, and what replacements left to delete."""
    found = []
    for old in run.resources:
        if id(old) in run.deleted_early:
            continue
        if not run.is_target(old.urn):
            if not (old.delete or _is_wanted(run, old)):
                run.steps.tell_same(old)
        elif old.delete:
            found.append(Deletion(old, replacing=True))
        elif not _is_wanted(run, old):
            if old.pending_replacement:
                run.steps.forget(old)
            else:
                found.append(Deletion(old))
    if not run.targets:
        return found
    # What stands on a target cannot stay when the target goes.
    condemned = graph.with_dependents([d.resource for d in found if not d.replacing], run.resources)
    chosen = {id(d.resource) for d in found}
    return found + [
        Deletion(r)
        for r in run.resources
        if r.urn in condemned and id(r) not in chosen and not r.delete and not _is_wanted(run, r)
    ]


def destroy(run: Run) -> None:
    """Delete everything; with targets only those, as long as nothing else stands on them."""
    chosen = [r for r in run.resources if run.is_target(r.urn)]
    if run.targets:
        condemned = graph.with_dependents(chosen, run.resources)
        chosen = [r for r in run.resources if r.urn in condemned]
        for kept in run.resources:
            if kept.urn not in condemned and not kept.delete:
                run.steps.tell_same(kept)
    if not run.targets:
        settle_interrupted(run, gone=set(run.olds))
    delete(run, [Deletion(r, replacing=r.delete) for r in chosen])


def delete(run: Run, deletions: Sequence[Deletion]) -> None:
    """Delete resources, nothing before what stands on it. Failures are told as steps and halt the run."""
    stray = [d for d in deletions if not run.is_target(d.resource.urn)]
    for item in stray:
        message = "it depends on a target and would be deleted with it; name it as a target too"
        run.steps.fail(item.resource.urn, item.op, message)
    if stray:
        return
    with run.lock:
        run.deleted.update(d.resource.urn for d in deletions)
    by_identity = {id(d.resource): d for d in deletions}

    def remove(resource: Resource) -> None:
        try:
            if resource.custom and not resource.is_provider:
                run.ensure_provider(resource.provider)
            run.steps.delete(by_identity[id(resource)], run.deleted)
        except (ProviderFailedError, EngineError) as error:
            run.steps.fail(resource.urn, by_identity[id(resource)].op, str(error))
        except HaltedError:
            return  # told already

    with ThreadPoolExecutor(run.parallel) as pool:
        for wave in graph.deletion_waves([d.resource for d in deletions], run.resources):
            if run.steps.halted.is_set():
                return
            list(pool.map(remove, wave))


def settle_interrupted(run: Run, gone: Collection[str] = ()) -> None:
    """Clean up after creates that an earlier run left open and that nobody asks for any more.

    No id is known, so the provider's delete gets none: the inputs must do to find what is there. What is
    deleted with something else needs nothing when that goes too (`gone`) or is no more.
    """
    for operation in reversed(run.journal.unsettled):
        left = operation.resource
        if run.preview or run.steps.halted.is_set() or left.urn in run.news:
            continue
        run.emit(Diagnostic("info", "a run was cut off while making it: removing what is left", left.urn))
        host = left.deleted_with
        goes_along = host and (host in gone or host not in {*run.olds, *run.news})
        try:
            if left.custom and not (left.is_provider or goes_along or left.retain_on_delete):
                run.ensure_provider(left.provider)
                run.providers.get(left.provider).delete(left.urn, "", left.inputs, left.inputs, 0)
        except (ProviderFailedError, EngineError) as error:
            run.steps.fail(left.urn, "delete", f"what a cut-off create left cannot be removed: {error}")
        else:
            run.journal.settle(operation)


def _is_wanted(run: Run, old: Resource) -> bool:
    return old.urn in run.goals or old.urn in run.claimed
