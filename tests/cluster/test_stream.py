"""Streams follow a real API server through faults, and end with exactly what is there."""

from __future__ import annotations

import os
import random
import threading
import time
from contextlib import contextmanager

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families as read_text

from operators.catalog import FAMILIES
from operators.exposition.store import Store
from operators.kube.client import Cluster, connect
from operators.stream.dispatcher import Dispatcher
from operators.stream.source import Listener, Source, Stream
from tests.cluster.faults import compact, proxied, stopped
from tests.cluster.light import light_cluster
from tests.cluster.patience import eventually

OBJECTS = int(os.environ.get("ANTENNA_TEST_OBJECTS", "300"))  # 1000 takes some minutes more
CONVERGED = 30.0  # seconds after a fault has ended


class Metadata(msgspec.Struct, rename="camel"):
    uid: str
    name: str
    resource_version: str


class ConfigMap(msgspec.Struct):
    metadata: Metadata
    data: dict[str, str] = {}


class Mirror:
    """A collector that keeps what it is told, and checks how."""

    def __init__(self):
        self.held = {}
        self.busy = threading.Lock()
        self.lists = 0

    def replace(self, objects):
        assert self.busy.acquire(blocking=False), "two threads at once"
        self.held = {obj.metadata.name: obj.metadata.resource_version for obj in objects}
        self.lists += 1
        self.busy.release()

    def apply(self, obj):
        assert self.busy.acquire(blocking=False), "two threads at once"
        self.held[obj.metadata.name] = obj.metadata.resource_version
        self.busy.release()

    def delete(self, obj):
        self.held.pop(obj.metadata.name)


class Follower:
    """A dispatcher with one mirror, and the store that it tells how it is."""

    def __init__(self, cluster, source, past=None, **options):
        self.store, self.mirror = Store(FAMILIES), Mirror()
        stream = Stream(source, (Listener(self.mirror),), past)
        self.dispatcher = Dispatcher(cluster, [stream], self.store, **options)
        self.resource = source.name

    def figure(self, name, **labels):
        wanted = {"resource": self.resource, **labels}
        for family in read_text(b"".join(self.store.render(False)).decode()):
            for sample in family.samples:
                if sample.name == name and sample.labels == wanted:
                    return sample.value
        return 0

    def age(self):
        return self.figure("antenna_operator_watch_age_seconds")

    def restarts(self, reason):
        return self.figure("antenna_operator_watch_restarts_total", reason=reason)


class Writer:
    """Makes, changes and deletes ConfigMaps at random, straight at the API server."""

    def __init__(self, cluster, label):
        self.cluster, self.label, self.count = cluster, label, 0
        self.source = random.Random(2)  # noqa: S311 (the same each time)
        self.names = []

    def make(self, count):
        for _ in range(count):
            self.count += 1
            name = f"{self.label}-{self.count}"
            self.cluster.create(
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": name, "namespace": "default", "labels": {"stream": self.label}},
                }
            )
            self.names.append(name)

    def change(self, count):
        for step in range(count):
            chance = self.source.random()
            if chance < 0.2:
                self.make(1)
            elif chance < 0.4:
                name = self.names.pop(self.source.randrange(len(self.names)))
                self.cluster.delete("v1", "ConfigMap", name, "default")
            else:
                patch = {"data": {"step": str(step)}}
                self.cluster.patch("v1", "ConfigMap", self.source.choice(self.names), "default", patch)

    @contextmanager
    def changing(self):
        """Changes all the while; they fail while there is no API server."""
        stop = threading.Event()

        def run():
            while not stop.wait(0.02):
                try:
                    self.change(1)
                except Exception:
                    stop.wait(0.2)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def truth(self):
        found = self.cluster.list_objects("v1", "ConfigMap", "default", labels=f"stream={self.label}")
        return {obj["metadata"]["name"]: obj["metadata"]["resourceVersion"] for obj in found}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A control plane of this module's: its API server is killed."""
    without = ("kube-controller-manager", "kube-scheduler")
    with light_cluster(tmp_path_factory.mktemp("stream"), kueue=False, without=without) as up:
        yield up


@pytest.fixture
def writer(own, name):
    cluster = connect(own.kubeconfig)
    writer = Writer(cluster, name)
    writer.make(OBJECTS)
    yield writer
    cluster.close()


@pytest.fixture
def fault(own, tmp_path):
    with proxied(own.kubeconfig, tmp_path) as (proxy, kubeconfig):
        proxy.kubeconfig = kubeconfig
        yield proxy


def source(writer):
    return Source("configmaps", "v1", "ConfigMap", ConfigMap, label_selector=f"stream={writer.label}")


@pytest.fixture
def follow(fault, writer):
    running = []

    def start(wrap=None, **options):
        cluster = connect(fault.kubeconfig, long_lived=True)
        follower = Follower(wrap(cluster.client) if wrap else cluster, source(writer), **options)
        follower.dispatcher.start()
        running.append(follower)
        eventually(lambda: not follower.dispatcher.waiting_for(), 20)
        return follower

    yield start
    for follower in running:
        follower.dispatcher.stop()


def converges(follower, writer, seconds=CONVERGED):
    took = eventually(lambda: follower.mirror.held == writer.truth(), seconds)
    assert follower.figure("antenna_operator_objects") == len(follower.mirror.held)
    return took


def test_changes_arrive_as_they_are_made(follow, writer):
    follower = follow()
    assert len(follower.mirror.held) == OBJECTS
    with writer.changing():
        time.sleep(3)
    converges(follower, writer, 2)
    assert follower.mirror.lists == 1
    assert follower.age() < 5


def test_a_list_longer_than_a_page_is_whole(follow, writer, monkeypatch):
    monkeypatch.setattr("operators.stream.reflector.PAGE", 7)
    assert follow().mirror.held == writer.truth()


def test_watches_are_renewed_without_listing_again(follow, writer):
    follower = follow(watch_seconds=4)
    with writer.changing():
        time.sleep(9)
    converges(follower, writer, 3)
    assert follower.figure("antenna_operator_lists_total") == 1
    assert follower.figure("antenna_operator_events_total", type="BOOKMARK") >= 2
    assert follower.age() < 5


@pytest.mark.parametrize(("kind", "seconds"), [("stall", 5), ("stall", 60), ("cut", 5)])
def test_a_connection_that_is_silent_or_refused_is_got_over(follow, fault, writer, kind, seconds):
    follower = follow()
    with writer.changing():
        getattr(fault, kind)()
        time.sleep(seconds)
        assert follower.age() > seconds - 2
        assert follower.figure("antenna_operator_objects") > 0, "a fault must not empty what is shown"
        fault.mend()
        time.sleep(1)
    converges(follower, writer, CONVERGED - 1)
    assert follower.restarts("stalled" if kind == "stall" else "unreachable") >= 1
    assert follower.age() < 15


@pytest.mark.parametrize("seconds", [5, 60])
def test_a_control_plane_that_stops_is_got_over(own, follow, writer, seconds):
    follower = follow()
    with writer.changing():
        with stopped(own, "kube-apiserver"), stopped(own, "etcd"):
            time.sleep(seconds)
            assert follower.age() > seconds - 2
            assert follower.figure("antenna_operator_objects") > 0
        eventually(lambda: "ok" in own.kubectl("get", "--raw=/readyz", check=False), 120)
        time.sleep(1)
    converges(follower, writer)


def test_a_version_that_is_gone_is_listed_anew(own, follow, fault, writer):
    follower = follow()
    fault.cut()
    writer.change(50)
    with stopped(own, "kube-apiserver"):
        pass
    eventually(lambda: "ok" in own.kubectl("get", "--raw=/readyz", check=False), 120)
    writer.change(50)
    compact(own)
    fault.mend()
    converges(follower, writer)
    assert follower.restarts("gone") >= 1
    assert follower.mirror.lists == 2


class Past:
    """What is told of the time before the first list: name -> version, as it was at the end of it."""

    def __init__(self, since, held):
        self.since, self.held = since, dict(held)
        self.versions = []
        self.version = self.up_to = 0

    def reach(self, version):
        self.version = version

    def missed(self, kind, obj):
        self.versions.append(int(obj.metadata.resource_version))
        self.held[obj.metadata.name] = obj.metadata.resource_version
        if kind == "DELETED":
            del self.held[obj.metadata.name]

    def caught_up(self):
        self.up_to = self.version


def test_what_changed_while_nobody_watched_is_told_in_its_order_until_the_server_forgets_it(own, writer):
    cluster = connect(own.kubeconfig, long_lived=True)
    since = int(
        writer.cluster.request("GET", "/api/v1/configmaps", query={"limit": "1"})["metadata"][
            "resourceVersion"
        ]
    )
    before = writer.truth()

    def follow():
        past = Past(since, before)
        one = Follower(cluster, source(writer), past)
        one.dispatcher.start()
        eventually(lambda: past.up_to, 20)
        return one, past

    writer.change(200)
    follower, past = follow()
    assert past.held == follower.mirror.held == writer.truth()
    assert past.versions == sorted(past.versions)
    assert len(past.versions) >= 180, "some have changed nothing"
    writer.change(50)
    converges(follower, writer, 10)
    assert len(past.versions) <= 200, "what happens after the list is not of the past"
    follower.dispatcher.stop()

    with stopped(own, "kube-apiserver"):
        pass
    eventually(lambda: "ok" in own.kubectl("get", "--raw=/readyz", check=False), 120)
    compact(own)
    follower, past = follow()
    assert past.versions == []
    writer.change(50)
    converges(follower, writer, 10)
    assert (follower.mirror.lists, follower.restarts("gone")) == (1, 1)
    follower.dispatcher.stop()


class WithoutBookmarks(Cluster):
    """A server that sends none."""

    def lines(self, path, query, *, silence):
        assert query["allowWatchBookmarks"] == "true"
        for lines in super().lines(path, query, silence=silence):
            yield [line for line in lines if b'"BOOKMARK"' not in line]


def test_bookmarks_may_be_missing(follow, writer):
    follower = follow(WithoutBookmarks, watch_seconds=4)
    time.sleep(5)
    with writer.changing():
        time.sleep(5)
    converges(follower, writer, 5)
    assert follower.figure("antenna_operator_events_total", type="BOOKMARK") == 0
    assert follower.figure("antenna_operator_lists_total") == 1
    assert follower.age() < 5


def test_a_kind_that_is_not_served_yet_is_waited_for(own, writer):
    absent = Source("absences", "antenna.be/v1", "Absence", ConfigMap, required=False)
    follower = Follower(connect(own.kubeconfig, long_lived=True), absent)
    follower.dispatcher.start()
    eventually(lambda: not follower.dispatcher.waiting_for(), 10)
    assert follower.mirror.held == {}
    writer.cluster.apply(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "absences.antenna.be"},
            "spec": {
                "group": "antenna.be",
                "scope": "Cluster",
                "names": {"plural": "absences", "singular": "absence", "kind": "Absence"},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": {"type": "object"}},
                    }
                ],
            },
        },
        manager="test",
    )
    own.kubectl("wait", "--for=condition=Established", "crd/absences.antenna.be", "--timeout=30s")
    writer.cluster.discover()
    writer.cluster.create({"apiVersion": "antenna.be/v1", "kind": "Absence", "metadata": {"name": "one"}})
    eventually(lambda: set(follower.mirror.held) == {"one"}, 20)
    own.kubectl("delete", "crd", "absences.antenna.be")
    eventually(lambda: follower.mirror.held == {}, 30)
    follower.dispatcher.stop()


def test_an_object_that_a_collector_fails_on_leaves_the_others(follow, writer, monkeypatch):
    follower = follow()
    apply = follower.mirror.apply

    def fragile(obj):
        if obj.data.get("bad"):
            raise ValueError("cannot take it")
        apply(obj)

    monkeypatch.setattr(follower.mirror, "apply", fragile)
    bad, good = writer.names[0], writer.names[1]
    writer.cluster.patch("v1", "ConfigMap", bad, "default", {"data": {"bad": "yes"}})
    version = writer.cluster.patch("v1", "ConfigMap", good, "default", {"data": {"a": "b"}})["metadata"]
    eventually(lambda: follower.mirror.held[good] == version["resourceVersion"], 5)
    assert follower.figure("antenna_operator_event_errors_total") == 1
