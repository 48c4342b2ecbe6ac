"""What a pod asks for: the one formula, of any resource and of those that metrics are about."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from operators.kube.objects import Amounts, PodSpec
from operators.kube.pod_requests import pod_requests

GIB = 2**30


def container(
    *, always: bool = False, limits: dict[str, Any] | None = None, **requests: Any
) -> dict[str, Any]:
    resources = {"requests": requests, **({"limits": limits} if limits else {})}
    return {"name": "c", "resources": resources, **({"restartPolicy": "Always"} if always else {})}


@pytest.mark.parametrize(
    ("spec", "asks"),
    [
        ({"containers": [container(cpu="1"), container(cpu="500m")]}, {"cpu": Decimal("1.5")}),
        # KEP-753: a sidecar runs beside the init containers after it.
        (
            {
                "initContainers": [container(cpu="2", always=True), container(cpu="4")],
                "containers": [container(cpu="1")],
            },
            {"cpu": Decimal(6)},
        ),
        (
            {
                "initContainers": [container(cpu="4"), container(cpu="2", always=True)],
                "containers": [container(cpu="1")],
            },
            {"cpu": Decimal(4)},
        ),
        ({"containers": [container(limits={"nvidia.com/gpu": "2"})]}, {"nvidia.com/gpu": Decimal(2)}),
        ({"containers": [container(cpu="1", limits={"cpu": "4"})]}, {"cpu": Decimal(1)}),
        # The runtime's overhead comes on top of whichever is larger.
        (
            {
                "initContainers": [container(cpu="4")],
                "containers": [container(cpu="1")],
                "overhead": {"cpu": "250m"},
            },
            {"cpu": Decimal("4.25")},
        ),
        # Of the whole pod, as Kubernetes has it since 1.34.
        (
            {
                "resources": {"requests": {"cpu": "4", "memory": "8Gi"}},
                "containers": [container(), container()],
            },
            {"cpu": Decimal(4), "memory": Decimal(8 * GIB)},
        ),
        ({"resources": {"limits": {"cpu": "4"}}, "containers": [container()]}, {"cpu": Decimal(4)}),
        ({"resources": {"limits": {"cpu": "4"}}, "containers": [container(cpu="1")]}, {"cpu": Decimal(1)}),
        ({"containers": []}, {}),
    ],
)
def test_a_pod_asks_for_what_the_scheduler_counts(spec: dict[str, Any], asks: dict[str, Decimal]) -> None:
    assert pod_requests(spec) == asks


@pytest.mark.parametrize("seed", range(300))
def test_metrics_and_explanations_reckon_alike(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311

    def amounts() -> dict[str, str]:
        found = {"cpu": f"{dice.randint(1, 9)}00m", "memory": f"{dice.randint(1, 9)}Gi"}
        return {name: amount for name, amount in found.items() if dice.random() < 0.6}

    def one() -> dict[str, Any]:
        gpu = {"nvidia.com/gpu": str(dice.randint(1, 4))} if dice.random() < 0.4 else {}
        made = container(limits={**amounts(), **gpu}, **amounts())
        return {**made, "restartPolicy": "Always"} if dice.random() < 0.4 else made

    spec: dict[str, Any] = {"containers": [one() for _ in range(dice.randint(1, 3))]}
    if dice.random() < 0.6:
        spec["initContainers"] = [one() for _ in range(dice.randint(1, 4))]
    if dice.random() < 0.3:
        spec["overhead"] = amounts()
    if dice.random() < 0.3:
        spec["resources"] = {"requests": amounts(), "limits": amounts()}
    asks = pod_requests(spec)
    assert msgspec.convert(spec, PodSpec).amounts == Amounts(
        int(asks.get("nvidia.com/gpu", 0)), int(asks.get("cpu", 0) * 1000), int(asks.get("memory", 0))
    )
