"""What a stream never shows its sink, whatever the server answers."""

from __future__ import annotations

import json
import threading

import msgspec

from operators.stream.reflector import Reflector
from operators.stream.source import Source


class Metadata(msgspec.Struct, rename="camel"):
    name: str
    resource_version: str


class Thing(msgspec.Struct):
    metadata: Metadata


class Server:
    """Answers lists one after the other; what comes after them is up to ``then``."""

    def __init__(self, *pages, then):
        self.pages, self.then = list(pages), then

    def path(self, api_version, kind):
        return "/things"

    def read(self, path, query, *, silence):
        if len(self.pages) == 1:
            self.then()
        return self.pages.pop(0)

    def lines(self, path, query, *, silence):
        self.then()
        return iter(())


class Sink:
    def __init__(self):
        self.shown = []

    def replace(self, objects):
        self.shown.append([obj.metadata.name for obj in objects])


def page(*names, more=""):
    items = [{"metadata": {"name": name, "resourceVersion": "3"}} for name in names]
    return json.dumps({"metadata": {"resourceVersion": "7", "continue": more}, "items": items}).encode()


def reflect(*pages, ending):
    """What the sink was shown when the stream was told to end at the last page, or after it."""
    sink = Sink()
    server = Server(*pages, then=lambda: None)
    reflector = Reflector(server, Source("things", "v1", "Thing", Thing), sink, threading.RLock())
    server.then = reflector.stop
    if ending == "after":
        server.read = lambda path, query, *, silence: server.pages.pop(0)
    reflector.run()
    return sink.shown


def test_a_list_is_shown_when_it_is_whole():
    assert reflect(page("a", "b", more="x"), page("c"), ending="after") == [["a", "b", "c"]]


def test_a_part_of_a_list_is_never_shown():
    assert reflect(page("a", "b", more="x"), page("c"), ending="within") == []


def test_what_is_no_list_is_asked_for_again():
    assert reflect(b"<html>", page("a"), ending="after") == [["a"]]


def test_a_list_that_breaks_off_begins_anew():
    assert reflect(page("a", more="x"), b'{"metadata', page("a"), ending="after") == [["a"]]


def test_the_next_page_is_asked_for_while_one_is_gone_through():
    asked = threading.Event()
    pages = [page("a", more="x"), page("b")]
    sink = Sink()
    server = Server(then=None)

    def read(path, query, *, silence):
        if query["continue"]:
            asked.set()
        return pages.pop(0)

    def patient(obj):
        assert asked.wait(60)
        return obj

    server.read = read
    reflector = Reflector(
        server, Source("things", "v1", "Thing", Thing, read=patient), sink, threading.RLock()
    )
    server.then = reflector.stop
    reflector.run()
    assert sink.shown == [["a", "b"]]
