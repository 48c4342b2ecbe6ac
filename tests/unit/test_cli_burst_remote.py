"""The demo's jobs for remote sites: where they go, whose they are, and what is told of them."""

from __future__ import annotations

from typing import Any

from infra.cli.work import burst_remote
from infra.cli.work.burst_remote import SiteRow
from operators.api.remote_job import RemoteJobSpec

TENANTS = [
    {"metadata": {"name": name}, "spec": {"allocations": [{"site": site} for site in sites]}}
    for name, sites in (("ulb", ("lumi", "jupiter")), ("imec", ("lumi",)), ("vib", ()))
]


def site(name: str, *partitions: tuple[str, int, bool], answers: str = "True") -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "partitions": [
                {"name": p, "gpusPerNode": gpus, "wholeNodes": whole} for p, gpus, whole in partitions
            ]
        },
        "status": {"conditions": [{"type": "Answers", "status": answers}]},
    }


LUMI = site("lumi", ("standard-g", 8, True), ("small-g", 8, False), ("dev-g", 8, False), ("small", 0, False))
JUPITER = site("jupiter", ("booster", 4, True))


def test_jobs_go_to_whole_nodes_and_parts_of_each_site_for_every_partner_there() -> None:
    works, silent = burst_remote.plan([LUMI, JUPITER], TENANTS, "x", jobs=12)
    assert silent == []
    assert len(works) == len({work.name for work in works}) == 12
    assert {(w.site, w.partition, w.gpus is None) for w in works} == {
        ("jupiter", "booster", True),
        ("lumi", "standard-g", True),
        ("lumi", "small-g", False),
    }
    for partition in ("standard-g", "small-g"):
        assert {w.tenant for w in works if w.partition == partition} == {"imec", "ulb"}
    assert {w.tenant for w in works if w.site == "jupiter"} == {"ulb"}


def test_nothing_goes_to_a_site_that_does_not_answer_or_where_nobody_has_a_project() -> None:
    quiet = site("jupiter", ("booster", 4, True), answers="False")
    works, silent = burst_remote.plan([LUMI, quiet], TENANTS, "x", jobs=4)
    assert silent == ["jupiter"]
    assert {work.site for work in works} == {"lumi"}
    assert burst_remote.plan([LUMI], TENANTS[2:], "x", jobs=4) == ([], [])


def test_every_job_is_one_that_the_operator_takes() -> None:
    for work in burst_remote.plan([LUMI, JUPITER], TENANTS, "x", jobs=9)[0]:
        obj = burst_remote.remote_job(work, "x")
        assert RemoteJobSpec.model_validate(obj["spec"]).site == work.site
        assert obj["metadata"]["namespace"] == f"tenant-{work.tenant}"


def test_the_table_counts_states_and_the_gpus_of_what_runs() -> None:
    works, _ = burst_remote.plan([LUMI, JUPITER], TENANTS, "x", jobs=6)
    states = ("running", "running", "succeeded", "failed", "cancelled", "pending")
    jobs: list[Any] = [
        {**burst_remote.remote_job(work, "x"), "status": {"state": state}}
        for work, state in zip(works, states, strict=True)
    ]
    rows = burst_remote.table(works, jobs, [LUMI, JUPITER])
    assert rows == [SiteRow("jupiter", 0, 1, 0, 1, 4), SiteRow("lumi", 1, 1, 1, 1, 8)]
    assert burst_remote.table(works, [], [LUMI, JUPITER])[1] == SiteRow("lumi", 4, 0, 0, 0, 0)
