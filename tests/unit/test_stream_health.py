"""What the streams tell of themselves, from answers as an API server would give them."""

from __future__ import annotations

import json
import threading

import pytest

from operators.catalog import FAMILIES
from operators.exposition.store import Store
from operators.kube.errors import Gone
from operators.kube.objects import Node
from operators.stream.dispatcher import Dispatcher
from operators.stream.source import Listener, Source, Stream


def node(name, version, **metadata):
    return {"metadata": {"name": name, "uid": name, "resourceVersion": version, **metadata}}


class Answers:
    """An API server that answers once with each of these, and then waits."""

    def __init__(self, *watches):
        self.watches = list(watches)
        self.told = threading.Event()
        self.rest = threading.Event()

    def path(self, api_version, kind):
        return f"/{api_version}/{kind}"

    def read(self, path, query, **_):
        objects = [node("a", "1"), node("b", "2")]
        return json.dumps({"metadata": {"resourceVersion": "5"}, "items": objects}).encode()

    def lines(self, path, query, **_):
        if not self.watches:
            self.told.set()
            self.rest.wait(60)
            return
        for answer in self.watches.pop(0):
            if isinstance(answer, Exception):
                raise answer
            together = answer if isinstance(answer, list) else [answer]
            yield [json.dumps(one).encode() for one in together]


class Sink:
    """Takes every node but one called ``bad``."""

    def replace(self, objects):
        list(objects)

    def apply(self, obj):
        if obj.metadata.name == "bad":
            raise ValueError("not this one")

    def delete(self, obj):
        pass


@pytest.fixture
def shown():
    """Runs a dispatcher on answers until they are used up; the lines that it shows."""
    running = []

    def run(*watches, at=0.0):
        answers, store = Answers(*watches), Store(FAMILIES)
        now = [100.0]
        stream = Stream(Source("nodes", "v1", "Node", Node), (Listener(Sink()),))
        dispatcher = Dispatcher(answers, [stream], store, clock=lambda: now[0])
        running.append((dispatcher, answers))
        dispatcher.start()
        assert answers.told.wait(60)
        now[0] += at
        return b"".join(store.render(False)).decode().splitlines()

    yield run
    for dispatcher, answers in running:
        dispatcher.stop()
        answers.rest.set()


def test_events_objects_and_lists_are_counted(shown):
    lines = shown(
        [
            {"type": "ADDED", "object": node("c", "6")},
            {"type": "MODIFIED", "object": node("c", "7")},
            {"type": "DELETED", "object": node("a", "8")},
            {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}},
        ]
    )
    assert 'antenna_operator_events_total{resource="nodes",type="ADDED"} 1' in lines
    assert 'antenna_operator_events_total{resource="nodes",type="BOOKMARK"} 1' in lines
    assert 'antenna_operator_objects{resource="nodes"} 2' in lines
    assert 'antenna_operator_lists_total{resource="nodes"} 1' in lines
    assert 'antenna_operator_event_errors_total{resource="nodes"} 0' in lines


def test_the_age_grows_while_nothing_is_heard(shown):
    assert 'antenna_operator_watch_age_seconds{resource="nodes"} 42' in shown(at=42.0)


def test_a_watch_that_has_to_begin_again_is_counted_by_what_ended_it(shown):
    lines = shown([Gone(410, "Expired", "too old")])
    assert 'antenna_operator_watch_restarts_total{resource="nodes",reason="gone"} 1' in lines
    assert 'antenna_operator_lists_total{resource="nodes"} 2' in lines


def test_an_object_that_cannot_be_taken_is_counted_and_stops_nothing(shown):
    lines = shown(
        [{"type": "ADDED", "object": node("bad", "6")}, {"type": "ADDED", "object": node("c", "7")}]
    )
    assert 'antenna_operator_event_errors_total{resource="nodes"} 1' in lines
    assert 'antenna_operator_events_total{resource="nodes",type="ADDED"} 2' in lines


def test_what_came_before_the_end_of_a_watch_was_taken(shown):
    error = {"type": "ERROR", "object": {"code": 500, "reason": "InternalError", "message": "no more"}}
    lines = shown([[{"type": "ADDED", "object": node("c", "6")}, error]])
    assert 'antenna_operator_events_total{resource="nodes",type="ADDED"} 1' in lines
    assert 'antenna_operator_watch_restarts_total{resource="nodes",reason="refused"} 1' in lines
    assert 'antenna_operator_lists_total{resource="nodes"} 1' in lines
