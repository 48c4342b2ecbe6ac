"""Rows of remote work: RemoteJobs, the Workloads that queue for them, and what is said of both. Pure."""

from __future__ import annotations

from typing import Final

from operators.api import API_VERSION, GROUP, VERSION
from operators.api.names import BUDGET_NAME, REMOTE_JOB, REMOTE_JOB_FINALIZER, REMOTE_JOB_LABEL, TENANT
from operators.confinement.cel import finalizers_but, literal, same_metadata
from operators.confinement.row import Row, Rule, deleted
from operators.queues import CHECKS, CHECKS_CONTROLLER, REMOTE, REMOTE_RESOURCES

COMPONENT: Final = "antenna-operator"
"""The source of the operator's Events."""

_KUEUE: Final = "kueue.x-k8s.io"
_PLACE: Final = Rule("variables.tenant != ''", "writes in namespaces tenant-* only")

_REMOTE_JOBS: Final = Rule(
    f"variables.it.metadata[?'labels'][?'{REMOTE_JOB_LABEL}'].hasValue() && "
    "variables.it.metadata[?'ownerReferences'].orValue([]).exists(owner, owner.kind == "
    f"'{REMOTE_JOB}' && owner.apiVersion == '{API_VERSION}' "
    f"&& owner.uid == variables.it.metadata.labels['{REMOTE_JOB_LABEL}'])",
    "makes, deletes and judges Workloads of RemoteJobs, and no Job's",
)
_POD: Final = "object.spec.podSets.all(set, set.template.spec"
_ASKED: Final = [*REMOTE_RESOURCES, "cpu", "memory"]

_CONDITIONS: Final = "[?'status'][?'conditions'].orValue([])"
_CHECKS: Final = "[?'status'][?'admissionChecks'].orValue([])"


def _list_but(path: str, key: str, own: tuple[str, ...]) -> str:
    """Whether a list has the same entries as before, but for our own; ``key`` tells them apart."""
    names = literal(list(own), {})
    now, was = f"object{path}", f"oldObject{path}"
    return (
        f"{now}.all(one, one.{key} in {names} || one in {was}) "
        f"&& {was}.all(one, one.{key} in {names} || one in {now})"
    )


def _map_but(root: str, own: tuple[str, ...]) -> str:
    """Whether a map has the same entries as before, but for our own."""
    names = literal(list(own), {})
    now, was = (f"{obj}[?'{root}'].orValue(dyn({{}}))" for obj in ("object", "oldObject"))
    return (
        f"{now}.all(k, k in {names} || (k in {was} && {was}[k] == {now}[k])) "
        f"&& {was}.all(k, k in {names} || k in {now})"
    )


ROWS: Final = (
    Row(
        *(GROUP, VERSION, "remotejobs", ("UPDATE", "DELETE")),
        rules=(
            _PLACE,
            Rule(
                deleted(
                    f"oldObject{_CONDITIONS}.exists(one, one.type == 'Finished' && one.status == 'True')"
                ),
                "deletes RemoteJobs that are over, and no others",
            ),
            Rule(
                "object == null || (object.spec == oldObject.spec && "
                f"{same_metadata('labels', 'annotations', 'ownerReferences')} "
                f"&& {finalizers_but(REMOTE_JOB_FINALIZER)})",
                "sets and takes off its own finalizer of a RemoteJob, and changes nothing else of one",
            ),
        ),
    ),
    Row(GROUP, VERSION, "remotejobs/status", ("UPDATE",), rules=(_PLACE,)),
    Row(GROUP, VERSION, "remotesites/status", ("UPDATE",)),
    Row(
        *(GROUP, VERSION, "budgets", ("CREATE",)),
        rules=(
            _PLACE,
            Rule(
                f"object.metadata.name == '{BUDGET_NAME}' && !has(object.metadata.ownerReferences) "
                "&& !has(object.metadata.finalizers)",
                f"makes one Budget a partner, called {BUDGET_NAME}, without owners or finalizers",
            ),
        ),
    ),
    Row(GROUP, VERSION, "budgets/status", ("UPDATE",), rules=(_PLACE,)),
    Row(
        *(_KUEUE, "v1beta2", "workloads", ("CREATE", "DELETE")),
        rules=(
            _PLACE,
            _REMOTE_JOBS,
            Rule(
                "object == null || ("
                "object.metadata[?'ownerReferences'].orValue([]).size() == 1 "
                f"&& !has(object.spec.priorityClassRef) && {_POD}[?'tolerations'].orValue([]).all(one, "
                f"one[?'key'].orValue('') == '{REMOTE}')))",
                "queues a RemoteJob for remote flavors alone, and without a priority",
            ),
            Rule(
                f"object == null || {_POD}.containers.all(one, "
                f"one[?'resources'][?'requests'].orValue(dyn({{}})).all(name, name in {literal(_ASKED, {})} "
                f"&& (name in {literal(list(REMOTE_RESOURCES), {})} "
                "|| quantity(string(one.resources.requests[name])).compareTo(quantity('0')) == 0)) "
                "&& one[?'resources'][?'limits'].orValue(dyn({})).all(name, name in "
                f"{literal(list(REMOTE_RESOURCES), {})})))",
                "queues a RemoteJob for what is remote: no cores, no memory, no GPUs of this cluster",
            ),
        ),
    ),
    Row(
        *(_KUEUE, "v1beta2", "workloads/status", ("UPDATE",)),
        rules=(
            _PLACE,
            _REMOTE_JOBS,
            Rule(
                _map_but("status", ("conditions", "admissionChecks")),
                "gives no Workload quota: what is admitted is Kueue's to say",
            ),
            Rule(
                f"{_list_but(_CONDITIONS, 'type', ('PodsReady', 'Finished'))} "
                f"&& {_list_but(_CHECKS, 'name', CHECKS)}",
                f"says of a Workload that it began, that it ended, and what {', '.join(CHECKS)} say",
            ),
        ),
    ),
    Row(
        *(_KUEUE, "v1beta2", "admissionchecks/status", ("UPDATE",)),
        rules=(
            Rule(
                f"object.metadata.name in {literal(list(CHECKS), {})} "
                f"&& oldObject.spec.controllerName == '{CHECKS_CONTROLLER}' "
                f"&& {_list_but(_CONDITIONS, 'type', ('Active',))}",
                f"speaks for the admission checks {', '.join(CHECKS)} and for no others",
            ),
        ),
    ),
    Row(
        *("", "v1", "events", ("CREATE", "UPDATE")),
        rules=(
            Rule(
                f"object[?'source'][?'component'].orValue('') == '{COMPONENT}' && (oldObject == null || "
                f"oldObject[?'source'][?'component'].orValue('') == '{COMPONENT}')",
                "writes Events in its own name, and changes nobody else's",
            ),
            Rule(
                f"request.namespace == 'default' ? object.involvedObject[?'kind'].orValue('') == '{TENANT}' "
                f"&& object.involvedObject[?'apiVersion'].orValue('') == '{API_VERSION}' "
                ": variables.tenant != '' && object.involvedObject[?'namespace'].orValue('') "
                "== request.namespace && object.involvedObject[?'kind'].orValue('') in ['Job', 'Workload']",
                "tells of Tenants, and of Jobs and Workloads of partners, and of nothing else",
            ),
        ),
    ),
)
