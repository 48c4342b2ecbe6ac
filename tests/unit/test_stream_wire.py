"""Lists and watch events as the API server sends them, decoded into a source's struct."""

from __future__ import annotations

import json

import msgspec
import pytest

from operators.kube.errors import Gone
from operators.stream.source import Source
from operators.stream.wire import Wire


class Metadata(msgspec.Struct, rename="camel"):
    name: str
    resource_version: str


class Spec(msgspec.Struct):
    parallelism: int = 1


class Job(msgspec.Struct):
    metadata: Metadata
    spec: Spec = msgspec.field(default_factory=Spec)


WIRE = Wire(Source("jobs", "batch/v1", "Job", Job))


def job(name, version="5", **spec):
    return {"metadata": {"name": name, "resourceVersion": version, "labels": {"a": "b"}}, "spec": spec}


def body(*items, **metadata):
    whole = {"kind": "JobList", "metadata": {"resourceVersion": "7", **metadata}, "items": list(items)}
    return json.dumps(whole).encode()


def listed(*items):
    return WIRE.page(body(*items))


def watched(kind, obj):
    return WIRE.change(json.dumps({"type": kind, "object": obj}).encode())


def test_a_page_holds_its_objects_and_its_version():
    page = listed(job("a", parallelism=3), job("b"))
    assert [(o.metadata.name, o.spec.parallelism) for o in page.objects] == [("a", 3), ("b", 1)]
    assert (page.version, page.broken) == ("7", 0)


def test_a_page_says_where_the_next_one_begins():
    assert WIRE.more(body(job("a"), job("b", parallelism="many"), **{"continue": "token"})) == "token"
    assert WIRE.more(body(job("a"))) == ""


def test_an_object_that_does_not_fit_leaves_the_others():
    page = listed(job("a"), job("b", parallelism="many"), {"metadata": None}, job("c"))
    assert [o.metadata.name for o in page.objects] == ["a", "c"]
    assert page.broken == 2


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED"])
def test_changes_carry_their_object(kind):
    change = watched(kind, job("a", "9"))
    assert (change.type, change.version, change.object.metadata.name) == (kind, "9", "a")


def test_a_bookmark_carries_a_version_only():
    change = watched(
        "BOOKMARK", {"kind": "Job", "metadata": {"resourceVersion": "12", "creationTimestamp": None}}
    )
    assert (change.type, change.version, change.object) == ("BOOKMARK", "12", None)


def test_a_change_that_does_not_fit_still_moves_the_version_on():
    change = watched("MODIFIED", job("a", "13", parallelism=[]))
    assert (change.type, change.version, change.object) == ("MODIFIED", "13", None)


def test_a_version_that_is_too_old_is_gone():
    with pytest.raises(Gone, match="too old"):
        watched(
            "ERROR",
            {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"},
        )


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"metadata": {}', b"[]"])
def test_what_is_no_answer_is_no_list(body):
    with pytest.raises(msgspec.DecodeError):
        WIRE.page(body)
    with pytest.raises(msgspec.DecodeError):
        WIRE.change(body)
