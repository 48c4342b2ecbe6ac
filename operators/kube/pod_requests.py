"""What a pod asks for of every resource, as the scheduler and Kueue count it. Pure.

``objects.PodSpec.amounts`` is the same for the three resources that metrics are about; a test holds the two
to one result.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from operators.queues import quantity

Object = Mapping[str, Any]
Amounts = Mapping[str, Decimal]


def pod_requests(spec: Object) -> dict[str, Decimal]:
    """By resource: cores, bytes, GPUs. ``spec`` is a PodSpec.

    The larger of: all containers and sidecars together; any one init container with the sidecars before it.
    What is said of the whole pod takes the place of that; the runtime's overhead comes on top.
    https://github.com/kubernetes/component-helpers/blob/v0.37.2/resource/helpers.go (PodRequests)
    """
    total: dict[str, Decimal] = {}
    for container in spec.get("containers") or ():
        total = _plus(total, _asked(container))
    sidecars: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or ():
        asked = _asked(container)
        if container.get("restartPolicy") == "Always":
            sidecars, total = _plus(sidecars, asked), _plus(total, asked)
            peak = _largest(peak, sidecars)
        else:
            peak = _largest(peak, _plus(sidecars, asked))
    total = _largest(total, peak)
    whole = spec.get("resources") or {}
    requests, limits = amounts(whole.get("requests")), amounts(whole.get("limits"))
    total = {**limits, **total, **requests}
    return _plus(total, amounts(spec.get("overhead")))


def amounts(given: Object | None) -> dict[str, Decimal]:
    """A list of resources, as Kubernetes writes it, in numbers. Raises ValueError on what is no quantity."""
    return {resource: quantity(amount) for resource, amount in (given or {}).items()}


def _asked(container: Object) -> dict[str, Decimal]:
    """Requests; where a resource has none, its limit, as the API server defaults pods."""
    resources = container.get("resources") or {}
    return {**amounts(resources.get("limits")), **amounts(resources.get("requests"))}


def _plus(one: Amounts, other: Amounts) -> dict[str, Decimal]:
    zero = Decimal(0)
    return {resource: one.get(resource, zero) + other.get(resource, zero) for resource in {**one, **other}}


def _largest(one: Amounts, other: Amounts) -> dict[str, Decimal]:
    zero = Decimal(0)
    return {
        resource: max(one.get(resource, zero), other.get(resource, zero)) for resource in {**one, **other}
    }
