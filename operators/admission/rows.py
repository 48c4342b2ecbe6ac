"""What may be made in partners' namespaces, by whomever: the rows that ``admission`` makes policies of. Pure.

RBAC says which kinds a partner's people create; what these may hold is said here. Nothing of theirs runs
beside its queue, picks its node, pushes others out, or grows without bound. Each refusal is a sentence that
says what to do. The language is CEL: https://kubernetes.io/docs/reference/using-api/cel/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from operators.api import GROUP
from operators.queues import GPU, LOCAL_QUEUE, QUEUE_LABEL
from operators.tenancy import OBJECT_COUNTS, namespace_name

PLATFORM_CLASSES: Final = ("antenna-operator-state", "victoria-metrics", "alertmanager")
"""Storage classes of the platform's own volumes."""

PRIORITY_CLASSES: Final[tuple[str, ...]] = ()
"""Classes of priority, of pods and of Kueue's Workloads, that partners may name."""
RUNTIME_CLASSES: Final[tuple[str, ...]] = ()
"""Runtimes that partners may name. GPUs need none: the kubelet tells a node's own of each device."""
TOLERATED: Final = (GPU,)
"""Taints that partners may tolerate without bound."""
TOLERATED_SECONDS: Final[Mapping[str, int]] = {
    "node.kubernetes.io/not-ready": 300,
    "node.kubernetes.io/unreachable": 300,
}
"""Taints of a node in trouble, and for how long. Every pod is given these by Kubernetes itself."""
VOLUMES: Final = ("configMap", "secret", "emptyDir", "projected", "downwardAPI", "persistentVolumeClaim")

DEFAULT_REQUEST: Final[Mapping[str, str]] = {"cpu": "100m", "memory": "128Mi"}
"""What a container that says nothing is taken to ask for. One with a limit asks for that."""
DISK: Final = "ephemeral-storage"
RESOURCES: Final = ("cpu", "memory", DISK, GPU)
"""What containers may ask for: what the queues count, and the node's own disk."""
DEFAULT_DISK: Final = "20Gi"
"""What a container that says nothing may write on its node's disk: one that goes on is ended, and not what is
beside it. No room is kept for it."""
KEPT_SECONDS: Final = 3 * 86400
"""Finished Jobs and RemoteJobs leave after this, which is longer than a weekend. Their figures are in the
ledger, and they count among what a partner may have."""
GRACE_SECONDS: Final = 120
"""A pod that is told to end holds its GPUs no longer: Kueue has given them to somebody by then."""
MAX_COMPLETIONS: Final = 10_000
MAX_RETRIES: Final = 100
CLAIM_SIZE: Final = "1Ti"

_JOB_TRACKING: Final = "batch.kubernetes.io/job-tracking"
PLATFORM_USER: Final = (
    "request.userInfo.username.startsWith('system:') && "
    f"!request.userInfo.username.startsWith('system:serviceaccount:{namespace_name('')}')"
)
"""Whether a part of the platform asks: Kubernetes' own, and service accounts of no partner's namespace."""
IN_PARTNERS: Final = f"request.namespace.startsWith('{namespace_name('')}')"


@dataclass(frozen=True)
class Kind:
    """One kind that is made in partners' namespaces."""

    group: str
    resource: str
    size: int
    """Bytes of what a person writes of one: labels, annotations, who applied what, content."""
    parts: tuple[str, ...] = ("object.spec",)
    """Where that content is."""
    pod: str = ""
    """Where its pod spec is."""
    finalizers: tuple[str, ...] = ()
    """Those that the API server itself puts on a new one."""
    variables: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Row:
    """One thing that must hold. ``expression`` is CEL; ``message`` says what to do where it does not."""

    name: str
    kinds: tuple[str, ...]
    expression: str
    message: str


_POD_VARIABLES: Final = (
    ("containers", "dyn(variables.pod.containers) + dyn(variables.pod.?initContainers.orValue([]))"),
    (
        "terms",
        " + ".join(
            f"dyn(variables.pod.?affinity.?{side}.?{strength}DuringSchedulingIgnoredDuringExecution"
            f".orValue([]){which})"
            for side in ("podAffinity", "podAntiAffinity")
            for strength, which in (("required", ""), ("preferred", ".map(p, p.podAffinityTerm)"))
        ),
    ),
)

KINDS: Final = (
    Kind("batch", "jobs", size=32 << 10, pod="object.spec.template.spec", variables=_POD_VARIABLES),
    # Nobody may make them but the controller of Jobs; their content is looked at again all the same.
    Kind("", "pods", size=64 << 10, pod="object.spec", finalizers=(_JOB_TRACKING,), variables=_POD_VARIABLES),
    Kind(GROUP, "remotejobs", size=96 << 10),
    Kind(
        "",
        "configmaps",
        size=64 << 10,
        parts=("object.?data.orValue({})", "object.?binaryData.orValue({})"),
    ),
    Kind("", "secrets", size=32 << 10, parts=("object.?data.orValue({})",)),
    Kind("", "persistentvolumeclaims", size=16 << 10, finalizers=("kubernetes.io/pvc-protection",)),
)
_ALL: Final = tuple(kind.resource for kind in KINDS)
_BY_PEOPLE: Final = tuple(name for name in _ALL if name != "pods")
_WITH_PODS: Final = tuple(kind.resource for kind in KINDS if kind.pod)
_JOBS: Final = ("jobs",)
_CLAIMS: Final = ("persistentvolumeclaims",)


def _listed(values: Iterable[str]) -> str:
    """A list of text in CEL."""
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"


def _words(values: Iterable[str]) -> str:
    return ", ".join(values) or "none"


_LIMITS_OF_TOLERATIONS: Final = " || ".join(
    f"(t.?key.orValue('') == '{key}' && t.?tolerationSeconds.orValue({seconds + 1}) <= {seconds})"
    for key, seconds in TOLERATED_SECONDS.items()
)
_KUEUE: Final = "kueue.x-k8s.io/"
_ALLOWED_LABELS: Final = (QUEUE_LABEL, f"{_KUEUE}priority-class", f"{_KUEUE}max-exec-time-seconds")
_ELASTIC: Final = f"{_KUEUE}elastic-job"
"""The annotation of a Job whose size changes, and the gate that Kueue gives its pods, and opens."""
_ALLOWED_ANNOTATIONS: Final = (
    _ELASTIC,
    f"{_KUEUE}job-min-parallelism",
    f"{_KUEUE}job-completions-equal-parallelism",
)
_VOLUME_ANNOTATIONS: Final = ("pv.kubernetes.io/", "volume.kubernetes.io/", "volume.beta.kubernetes.io/")

ROWS: Final = (
    # Whose an object is
    Row(
        "owners",
        _BY_PEOPLE,
        "object.metadata.?ownerReferences.orValue([]).all(o, request.operation == 'UPDATE' && "
        "oldObject.metadata.?ownerReferences.orValue([]).exists(p, p.uid == o.uid))",
        "metadata.ownerReferences: only controllers name owners; leave it out.",
    ),
    *(
        Row(
            "finalizers",
            (kind.resource,),
            f"object.metadata.?finalizers.orValue([]).all(f, f in {_listed(kind.finalizers)} || "
            "(request.operation == 'UPDATE' && f in oldObject.metadata.?finalizers.orValue([])))",
            "metadata.finalizers: only controllers keep an object from going; leave it out.",
        )
        for kind in KINDS
    ),
    Row(
        "pod-finalizers",
        _JOBS,
        "object.spec.template.?metadata.?finalizers.orValue([]).size() == 0",
        "template.metadata.finalizers: only controllers keep a pod from going; leave it out.",
    ),
    *(
        Row(
            "size",
            (kind.resource,),
            f"bytes('{'%s' * (len(kind.parts) + 3)}'.format([dyn(object.metadata.?labels.orValue({{}})), "
            # Who applies an object adds the names of its fields, and any number may.
            "dyn(object.metadata.?annotations.orValue({})), dyn(object.metadata.?managedFields.orValue([])), "
            f"{', '.join(f'dyn({part})' for part in kind.parts)}])).size() <= {kind.size}",
            f"one of these {kind.resource} holds at most {kind.size >> 10} KiB, annotations among it and "
            "what managedFields keeps of who applied it; put what is larger into a volume, and make it with "
            "`kubectl create`, which keeps no copy of it in an annotation.",
        )
        for kind in KINDS
        if kind.resource != "pods"
    ),
    # The queue
    Row(
        "queue",
        _JOBS,
        f"object.metadata.?labels[?'{QUEUE_LABEL}'].orValue('') == '{LOCAL_QUEUE}'",
        f"metadata.labels: the queue of this namespace is {QUEUE_LABEL}: {LOCAL_QUEUE}; name that one, or "
        "leave the "
        "label out.",
    ),
    Row(
        "queue",
        ("remotejobs",),
        f"object.spec.?queue.orValue('{LOCAL_QUEUE}') == '{LOCAL_QUEUE}'",
        f"spec.queue: the queue of this namespace is {LOCAL_QUEUE}; name that one, or leave it out.",
    ),
    Row(
        "suspended",
        _JOBS,
        "object.spec.?suspend.orValue(false) == true",
        "spec.suspend: Kueue has not taken this Job into its queue, and lets it run when it is its turn; "
        "set suspend to true, or try again in a minute.",
    ),
    *(
        Row(
            f"kueue-{kind}",
            _JOBS,
            f"object.metadata.?{kind}.orValue({{}}).all(l, "
            f"!l.startsWith('{_KUEUE}') || l in {_listed(allowed)})"
            f" && object.spec.template.?metadata.?{kind}.orValue({{}}).all(l, !l.startsWith('{_KUEUE}'))",
            f"{kind}: of Kueue's own a Job may bear {_words(allowed)}, and its pods none; leave the others "
            "out.",
        )
        # Kueue reads a Workload's name, and that a Job is being stopped, in its annotations.
        for kind, allowed in (("labels", _ALLOWED_LABELS), ("annotations", _ALLOWED_ANNOTATIONS))
    ),
    Row(
        "kueue-priority",
        _JOBS,
        f"object.metadata.?labels[?'{_KUEUE}priority-class'].orValue('') in "
        f"{_listed(('', *PRIORITY_CLASSES))}",
        f"metadata.labels: {_KUEUE}priority-class may be one of: {_words(PRIORITY_CLASSES)}; leave the "
        "label out.",
    ),
    Row(
        "managed-by",
        _JOBS,
        "object.spec.?managedBy.orValue('kubernetes.io/job-controller') == 'kubernetes.io/job-controller'",
        "spec.managedBy: no other controller runs Jobs here, and the GPUs that it is given would lie idle; "
        "leave it "
        "out.",
    ),
    # How many, how long
    Row(
        "parallelism",
        _JOBS,
        f"object.spec.?parallelism.orValue(1) <= {OBJECT_COUNTS['pods']}",
        f"spec.parallelism: at most {OBJECT_COUNTS['pods']} pods at a time, which is all that a partner "
        "may have; "
        "run fewer at a time.",
    ),
    Row(
        "completions",
        _JOBS,
        f"object.spec.?completions.orValue(1) <= {MAX_COMPLETIONS}",
        f"spec.completions: at most {MAX_COMPLETIONS}; split the work into several Jobs.",
    ),
    Row(
        "retries",
        _JOBS,
        # Where each index has a limit of its own, Kubernetes sets the Job's to the largest number there is.
        "(object.spec.?backoffLimitPerIndex.hasValue() || object.spec.?backoffLimit.orValue(6) <= "
        f"{MAX_RETRIES}) && "
        f"object.spec.?backoffLimitPerIndex.orValue(0) <= {MAX_RETRIES}",
        f"spec.backoffLimit, spec.backoffLimitPerIndex: a pod is tried again at most {MAX_RETRIES} times; "
        "lower it.",
    ),
    Row(
        "kept",
        _JOBS,
        f"object.spec.?ttlSecondsAfterFinished.orValue({KEPT_SECONDS + 1}) <= {KEPT_SECONDS}",
        f"spec.ttlSecondsAfterFinished: a finished Job leaves after at most {KEPT_SECONDS} seconds "
        f"({KEPT_SECONDS // 86400} days); lower it, or leave it out.",
    ),
    Row(
        "grace",
        _WITH_PODS,
        f"variables.pod.?terminationGracePeriodSeconds.orValue(30) <= {GRACE_SECONDS}",
        f"terminationGracePeriodSeconds: a pod that gives way holds its GPUs for at most {GRACE_SECONDS} "
        "seconds more; "
        "lower it, and save what is worth it while the pod runs.",
    ),
    # What a pod asks for
    Row(
        "resources",
        _WITH_PODS,
        "(variables.containers + [dyn(variables.pod)]).all(c, "
        + " && ".join(
            f"c.?resources.?{part}.orValue({{}}).all(r, r in {_listed(RESOURCES)})"
            for part in ("requests", "limits")
        )
        + ")",
        f"resources: containers may ask for {_words(RESOURCES)}, as may all of a pod; anything else is in no "
        "queue, so take it out.",
    ),
    Row(
        "devices",
        _WITH_PODS,
        "variables.pod.?resourceClaims.orValue([]).size() == 0",
        f"resourceClaims: devices come by the queue alone; take the claims out and ask for {GPU} in "
        "resources.limits.",
    ),
    Row(
        "device-annotations",
        _JOBS,
        # https://github.com/cncf-tags/container-device-interface: how a runtime may be told of devices.
        "object.spec.template.?metadata.?annotations.orValue({}).all(a, !a.startsWith('cdi.k8s.io/'))",
        "template.metadata.annotations: those that begin with cdi.k8s.io/ name devices, which come by the "
        f"queue alone; leave them out and ask for {GPU} in resources.limits.",
    ),
    Row(
        "asks",
        _JOBS,
        "variables.pod.?resources.hasValue() || variables.containers.all(c, ['cpu', 'memory'].all(r, "
        "c.?resources.?requests[?r].hasValue()))",
        "resources: each container says how many cores and how much memory it needs; set "
        "resources.requests.cpu and "
        "resources.requests.memory.",
    ),
    # Where a pod goes
    Row(
        "node",
        _WITH_PODS,
        "variables.pod.?nodeName.orValue('') == ''",
        "nodeName: the scheduler chooses the node; leave it out, or narrow the choice with nodeSelector.",
    ),
    Row(
        "scheduler",
        _WITH_PODS,
        "variables.pod.?schedulerName.orValue('') in ['', 'default-scheduler']",
        "schedulerName: there is no other scheduler; leave it out.",
    ),
    *(
        Row(
            "gates",
            kinds,
            f"variables.pod.?schedulingGates.orValue([]).all(g, {opened})",
            "schedulingGates: nobody would open them, and the pod would hold its quota; leave them out.",
        )
        # Kueue opens the gates that it gives: to Jobs that are elastic when they are made, later to pods.
        for kinds, opened in (
            (
                _JOBS,
                f"g.name == '{_ELASTIC}' && "
                f"object.metadata.?annotations[?'{_ELASTIC}'].orValue('') == 'true'",
            ),
            (("pods",), f"g.name.startsWith('{_KUEUE}')"),
        )
    ),
    Row(
        "tolerations",
        _WITH_PODS,
        "variables.pod.?tolerations.orValue([]).all(t, "
        f"t.?key.orValue('') in {_listed(TOLERATED)} || {_LIMITS_OF_TOLERATIONS})",
        f"tolerations: pods may tolerate {_words(TOLERATED)}, and {_words(TOLERATED_SECONDS)} for "
        f"{max(TOLERATED_SECONDS.values())} seconds; nodes with other taints are not for this work, so "
        "take the "
        "others out.",
    ),
    Row(
        "neighbours",
        _WITH_PODS,
        "variables.terms.all(t, !t.?namespaces.hasValue() && !t.?namespaceSelector.hasValue())",
        "affinity: a pod may keep to or away from pods of its own namespace only; take namespaces and "
        "namespaceSelector out.",
    ),
    # What a pod is
    Row(
        "priority",
        _WITH_PODS,
        f"variables.pod.?priorityClassName.orValue('') in {_listed(('', *PRIORITY_CLASSES))}",
        f"priorityClassName: may be one of: {_words(PRIORITY_CLASSES)}; nobody's pods push others off "
        "their nodes, so "
        "leave it out.",
    ),
    Row(
        "priority-number",
        _JOBS,
        "!variables.pod.?priority.hasValue() && !variables.pod.?preemptionPolicy.hasValue()",
        "priority, preemptionPolicy: these follow from the priority class; leave them out.",
    ),
    Row(
        "runtime",
        _WITH_PODS,
        f"variables.pod.?runtimeClassName.orValue('') in {_listed(('', *RUNTIME_CLASSES))}",
        f"runtimeClassName: may be one of: {_words(RUNTIME_CLASSES)}; containers are given the GPUs that "
        "they ask for "
        "without it, so leave it out.",
    ),
    Row(
        "host",
        _WITH_PODS,
        "!variables.pod.?hostNetwork.orValue(false) && !variables.pod.?hostPID.orValue(false) && "
        "!variables.pod.?hostIPC.orValue(false) && "
        "variables.containers.all(c, c.?ports.orValue([]).all(p, p.?hostPort.orValue(0) == 0))",
        "hostNetwork, hostPID, hostIPC, hostPort: a pod has nothing of its node's; leave them out.",
    ),
    Row(
        "volumes",
        _WITH_PODS,
        "variables.pod.?volumes.orValue([]).all(v, " + " || ".join(f"has(v.{one})" for one in VOLUMES) + ")",
        f"volumes: may be {_words(VOLUMES)}; for more room make a PersistentVolumeClaim and name it.",
    ),
    Row(
        "from-jobs",
        ("pods",),
        f"{PLATFORM_USER} && object.metadata.?ownerReferences.orValue([]).exists(o, "
        "o.kind == 'Job' && o.apiVersion == 'batch/v1' && o.?controller.orValue(false))",
        "Pods: here they come from Jobs, which wait in the queue; make a Job.",
    ),
    # Secrets and claims
    Row(
        "secret-type",
        ("secrets",),
        "!(object.?type.orValue('Opaque') in "
        "['kubernetes.io/service-account-token', 'bootstrap.kubernetes.io/token'])",
        "type: no Secret holds a token that never ends; ask for one with `kubectl create token`.",
    ),
    Row(
        "volume-name",
        _CLAIMS,
        "object.spec.?volumeName.orValue('') == (request.operation == 'UPDATE' ? "
        "oldObject.spec.?volumeName.orValue('') : '') && !object.spec.?selector.hasValue()",
        "spec.volumeName, spec.selector: a claim is given a volume and does not choose one; leave them out.",
    ),
    Row(
        "volume-class",
        _CLAIMS,
        f"!(object.spec.?storageClassName.orValue('') in {_listed(PLATFORM_CLASSES)}) && "
        "object.spec.?volumeAttributesClassName.orValue('') == ''",
        f"spec.storageClassName: {_words(PLATFORM_CLASSES)} are the platform's own; name another class, or "
        "none.",
    ),
    Row(
        "volume-annotations",
        _CLAIMS,
        "object.metadata.?annotations.orValue({}).all(a, !("
        + " || ".join(f"a.startsWith('{prefix}')" for prefix in _VOLUME_ANNOTATIONS)
        + ") || (request.operation == 'UPDATE' && oldObject.metadata.?annotations[?a].orValue('') == "
        "object.metadata.annotations[a]))",
        f"metadata.annotations: those that begin with {_words(_VOLUME_ANNOTATIONS)} are the controllers'; "
        "leave them "
        "out.",
    ),
    Row(
        "volume-source",
        _CLAIMS,
        "object.spec.?dataSourceRef.?namespace.orValue('') == ''",
        "spec.dataSourceRef.namespace: a claim is filled from its own namespace; leave it out.",
    ),
    Row(
        "volume-size",
        _CLAIMS,
        "!object.spec.?resources.?requests[?'storage'].hasValue() || "
        f"quantity(object.spec.resources.requests['storage']).compareTo(quantity('{CLAIM_SIZE}')) <= 0",
        f"spec.resources.requests.storage: one claim is at most {CLAIM_SIZE}; ask for less, or make several.",
    ),
)
"""Of those that do not hold the first is told."""
