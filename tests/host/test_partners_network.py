"""Pods of many partners on two nodes: who reaches whom, in all ordered pairs.

``ANTENNA_TEST_PARTNERS`` is how many there are. In a normal run two partners stand for all, in
test_network_policy_agent.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import permutations

import pytest

from operators.tenancy import Tenant, namespace_name
from tests.host.policy_world import Pod, World, light_world, owner, reached

COUNT = int(os.environ.get("ANTENNA_TEST_PARTNERS", "0"))
PARTNERS = [Tenant(f"p{number}", f"Partner {number}", "flanders") for number in range(COUNT)]
PODS = {
    f"p{number}-{node}": Pod(node, namespace_name(f"p{number}"), f"10.98.{place}.{20 + number}")
    for number in range(COUNT)
    for place, node in enumerate(("head", "gpu-1"))
}
TRIED = (("TCP", 443), ("TCP", 8080), ("UDP", 53))

pytestmark = [
    pytest.mark.skipif(not COUNT, reason="a pod of each partner on each node: ANTENNA_TEST_PARTNERS=23"),
    pytest.mark.skipif(not shutil.which("iptables-nft"), reason="needs iptables-nft (Debian: iptables)"),
]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with light_world(tmp_path_factory.mktemp, partners=PARTNERS, pods=PODS) as made:
        yield made


def test_a_partners_pods_reach_its_own_and_nobody_elses(
    up: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert all(agent.healthy() for agent in up.agents.values())
    counts: Counter[bool] = Counter()
    pairs: set[tuple[str, str]] = set()
    wrong = []
    for source in PODS:
        targets = [
            (to, (kind, PODS[to].address, port)) for to in PODS if to != source for kind, port in TRIED
        ]
        results = dict(zip(targets, reached(source, [way for _, way in targets], 2), strict=True))
        # What should be open is tried once more: hosts are busy.
        lost = [one for one in targets if owner(one[0]) == owner(source) and not results[one]]
        results |= zip(lost, reached(source, [way for _, way in lost], 4), strict=True)
        for (to, way), is_open in results.items():
            own = owner(to) == owner(source)
            counts[own] += 1
            if not own:
                pairs.add((owner(source), owner(to)))
            if is_open != own:
                wrong.append(f"{source} -> {to} {way}: {'open' if is_open else 'closed'}")
    assert not wrong, "\n".join(wrong[:20])
    assert pairs == set(permutations((partner.name for partner in PARTNERS), 2))
    with capsys.disabled():
        print(
            f"\n{len(pairs)} ordered pairs of partners: {counts[False]} connections tried, none open; "
            f"{counts[True]} to a partner's own pods, all open"
        )
