"""The copies that the bench measures on: objects of their own, and otherwise like their template."""

from __future__ import annotations

import json

import pytest

from bench.world import STATES, TENANTS, job, surroundings, template, workload


def live(obj, uid):
    """As the API server returns it."""
    return {**obj, "metadata": {**obj["metadata"], "uid": uid, "resourceVersion": "7"}}


@pytest.fixture
def templates():
    one = live(job("template-running", "running"), "11111111-1111-4111-8111-111111111111")
    queued = live(workload(one, "running"), "22222222-2222-4222-8222-222222222222")
    return template(one, one), template(queued, one)


def test_copies_have_names_and_uids_of_their_own(templates):
    copies = [json.loads(t.copy(number)[1]) for t in templates for number in range(100)]
    assert len({c["metadata"]["uid"] for c in copies}) == 200
    assert len({(c["kind"], c["metadata"]["namespace"], c["metadata"]["name"]) for c in copies}) == 200


def test_a_copied_workload_belongs_to_the_copied_job_and_its_queue(templates):
    made, queued = (json.loads(t.copy(37)[1]) for t in templates)
    (owner,) = queued["metadata"]["ownerReferences"]
    assert (owner["name"], owner["uid"]) == (made["metadata"]["name"], made["metadata"]["uid"])
    assert queued["metadata"]["namespace"] == made["metadata"]["namespace"]
    assert queued["status"]["admission"]["clusterQueue"] == "bench-07"
    assert queued["status"]["conditions"][0]["message"] == "Quota reserved in ClusterQueue bench-07"


def test_a_copy_is_stored_under_its_own_key_without_a_version(templates):
    for one, folder in zip(templates, ("jobs", "kueue.x-k8s.io/workloads"), strict=True):
        key, body = one.copy(37)
        metadata = json.loads(body)["metadata"]
        assert key == f"/registry/{folder}/{metadata['namespace']}/{metadata['name']}"
        assert "resourceVersion" not in metadata


def test_copies_are_of_all_partners(templates):
    namespaces = {json.loads(templates[0].copy(n)[1])["metadata"]["namespace"] for n in range(TENANTS)}
    existing = {o["metadata"]["name"] for o in surroundings() if o["kind"] == "Namespace"}
    assert namespaces == existing


@pytest.mark.parametrize("state", STATES)
def test_only_running_work_holds_quota(state):
    one = live(job("x", state), "33333333-3333-4333-8333-333333333333")
    assert one["spec"]["suspend"] is (state == "pending")
    assert ("admission" in workload(one, state)["status"]) is (state == "running")
