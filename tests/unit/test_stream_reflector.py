"""What a stream never shows its sink, whatever the server answers."""

from __future__ import annotations

import json
import threading
from typing import NamedTuple

import msgspec
import pytest

from operators.stream.reflector import Reflector
from operators.stream.source import Listener, Source, Stream


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

    def read(self, path, query, *, silence, accept):
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


def things(*listeners, past=None):
    return Stream(Source("things", "v1", "Thing", Thing), listeners, past)


def names(objects):
    return " ".join(obj.metadata.name for obj in objects)


def reflect(*pages, ending):
    """What the sink was shown when the stream was told to end at the last page, or after it."""
    sink = Sink()
    server = Server(*pages, then=lambda: None)
    reflector = Reflector(server, things(Listener(sink)), threading.RLock())
    server.then = reflector.stop
    if ending == "after":
        server.read = lambda path, query, *, silence, accept: server.pages.pop(0)
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

    def read(path, query, *, silence, accept):
        if query["continue"]:
            asked.set()
        return pages.pop(0)

    def patient(obj):
        assert asked.wait(60)
        return obj

    server.read = read
    reflector = Reflector(server, things(Listener(sink, read=patient)), threading.RLock())
    server.then = reflector.stop
    reflector.run()
    assert sink.shown == [["a", "b"]]


def test_pages_of_the_first_list_alone_are_told_early_and_again_with_all():
    told = []
    server = Server(page("a", more="x"), page("b"), page("c", "d"), then=lambda: None)
    server.read = lambda path, query, *, silence, accept: server.pages.pop(0)

    def lines(path, query, *, silence):
        if server.pages:
            return iter([[json.dumps(EXPIRED).encode()]])
        reflector.stop()
        return iter(())

    server.lines = lines
    listener = Listener(Told(told), early=lambda page: told.append("early " + names(page)))
    reflector = Reflector(server, things(listener), threading.RLock())
    reflector.run()
    assert told == ["early a", "early b", "list a b", "list c d"]


# Several listeners


class Name:
    """A reading that only its own sink can do with."""

    def __init__(self, thing):
        self.name = thing.metadata.name


class Length(NamedTuple):
    """Another reading of the same things."""

    length: int


class Tells:
    """Writes what it is told, with ``attribute`` of each; fails at ``fails_at``."""

    def __init__(self, attribute, fails_at=""):
        self.attribute, self.fails_at, self.told = attribute, fails_at, []

    def early(self, objects):
        self._tell("early", objects)

    def replace(self, objects):
        self._tell("list", objects)

    def apply(self, obj):
        self._tell("now", [obj])

    def delete(self, obj):
        self._tell("gone", [obj])

    def _tell(self, what, objects):
        told = [getattr(obj, self.attribute) for obj in objects]
        if what == self.fails_at:
            raise ValueError(f"not this {what}")
        self.told.append((what, told))


def tell(*listeners):
    """A list of two pages, a change and a deletion are told; the reflector, when all of it is."""
    server = Server(page("a", "bb", more="x"), page("ccc"), then=lambda: None)
    server.read = lambda path, query, *, silence, accept: (
        server.pages.pop(0) if server.pages else page("a", "bb", "ccc")
    )
    left = [[change("MODIFIED", "bb", 8), change("DELETED", "a", 9)]]

    def lines(path, query, *, silence):
        if not left:
            reflector.stop()
            return iter(())
        return iter([[json.dumps(event).encode() for event in left.pop(0)]])

    server.lines = lines
    reflector = Reflector(server, things(*listeners), threading.RLock())
    reflector._stopping.wait = lambda timeout=None: reflector._stopping.is_set()
    reflector.run()
    return reflector


def listens(tells, read, **others):
    return Listener(tells, read=read, early=tells.early, **others)


def length(thing):
    return Length(len(thing.metadata.name))


ALL_NAMES = [
    *(("early", ["a", "bb"]), ("early", ["ccc"]), ("list", ["a", "bb", "ccc"])),
    *(("now", ["bb"]), ("gone", ["a"])),
]
ALL_LENGTHS = [(what, [len(name) for name in told]) for what, told in ALL_NAMES]


def test_each_listener_is_told_everything_in_its_own_reading():
    names, lengths = Tells("name"), Tells("length")
    health = tell(listens(names, Name), listens(lengths, length)).health
    assert (names.told, lengths.told) == (ALL_NAMES, ALL_LENGTHS)
    assert (health.listed, health.objects, health.lists, health.broken) == (True, 2, 1, 0)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(("fails_at", "broken"), [("early", 2), ("list", 1), ("now", 1), ("gone", 1)])
def test_what_a_listener_fails_on_reaches_the_others_and_is_counted(fails_at, broken, order):
    names, lengths = Tells("name"), Tells("length", fails_at)
    others = [listens(names, Name), listens(lengths, length, essential=False)]
    health = tell(*others[::order]).health
    assert names.told == ALL_NAMES
    assert lengths.told == [one for one in ALL_LENGTHS if one[0] != fails_at]
    assert (health.listed, health.lists, health.broken) == (True, 1, broken)


def test_what_a_listener_cannot_read_is_left_out_of_its_list_alone_and_counted():
    def short(thing):
        if len(thing.metadata.name) == 3:
            raise ValueError("too long")
        return length(thing)

    names, lengths = Tells("name"), Tells("length")
    health = tell(listens(names, Name), listens(lengths, short)).health
    assert names.told == ALL_NAMES
    assert ("list", [1, 2]) in lengths.told
    assert health.broken == 1


def test_a_list_that_an_essential_listener_fails_on_is_asked_for_again_and_not_listed_before():
    names, lengths = Tells("name", fails_at="list"), Tells("length")
    listed = []

    class Mends(Tells):
        def early(self, objects):
            listed.append(reflector.health.listed)

        def replace(self, objects):
            self.fails_at = "" if len(listed) > 2 else "list"
            super().replace(objects)

    names = Mends("name")
    server = Server(then=None)
    server.read = lambda path, query, *, silence, accept: page("a")
    reflector = Reflector(server, things(listens(names, Name), listens(lengths, length)), threading.RLock())
    server.then = reflector.stop
    reflector._stopping.wait = lambda timeout=None: reflector._stopping.is_set()
    reflector.run()
    assert listed == [False, False, False]
    assert names.told == [("list", ["a"])]
    assert [told for told in lengths.told if told[0] == "list"] == [("list", [1])] * 3
    assert (reflector.health.lists, reflector.health.broken) == (1, 2)
    assert reflector.health.restarts["failed"] == 2


class Past:
    """What is older than the first list, as the stream tells it; ``stop`` ends the stream after it."""

    def __init__(self, since, told):
        self.since, self.told = since, told

    def reach(self, version):
        self.told.append(version)

    def missed(self, kind, obj):
        self.told.append(f"missed {kind} {obj.metadata.name}")

    def caught_up(self):
        self.told.append("caught up")


class Told:
    """A sink that writes into the same list."""

    def __init__(self, told):
        self.told = told

    def replace(self, objects):
        self.told.append("list " + names(objects))

    def apply(self, obj):
        self.told.append(f"now {obj.metadata.name}")

    def delete(self, obj):
        self.told.append(f"now without {obj.metadata.name}")


def change(kind, name, version):
    return {"type": kind, "object": {"metadata": {"name": name, "resourceVersion": str(version)}}}


EXPIRED = {
    "type": "ERROR",
    "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"},
}


def follow(*watches, since, lasting=0.0):
    """(what was told in its order, the versions that were watched from); each list is page("a") at 7."""
    told, asked = [], []
    server = Server(then=lambda: None)
    server.read = lambda path, query, *, silence, accept: page("a")
    left = list(watches)
    now = [0.0]

    def lines(path, query, *, silence):
        asked.append(query["resourceVersion"])
        if not left:
            reflector.stop()
            return
        yield from ([json.dumps(event).encode()] for event in left.pop(0))
        now[0] += lasting

    server.lines = lines
    stream = things(Listener(Told(told)), past=Past(since, told))
    reflector = Reflector(server, stream, threading.RLock(), clock=lambda: now[0])
    reflector._stopping.wait = lambda timeout=None: reflector._stopping.is_set()
    reflector.run()
    return told, asked


def test_what_happened_before_the_first_list_is_told_before_what_happens_after_it():
    told, asked = follow(
        [
            change("MODIFIED", "a", 4),
            change("DELETED", "b", 6),
            change("ADDED", "c", 8),
            change("BOOKMARK", "", 9),
        ],
        since=3,
    )
    assert asked == ["3", "9"]
    before, after = [7, "list a"], ["missed MODIFIED a", "missed DELETED b"]
    assert told == [*before, 4, after[0], 6, after[1], 8, "caught up", "now c", 9]


def test_a_bookmark_tells_that_nothing_more_was_missed():
    told, _ = follow([change("BOOKMARK", "", 7), change("ADDED", "b", 8)], since=3)
    assert told == [7, "list a", 7, "caught up", 8, "now b"]


def test_a_past_that_the_server_has_forgotten_is_left_and_nothing_is_listed_anew():
    told, asked = follow([EXPIRED], [change("ADDED", "b", 8)], since=3)
    assert told == [7, "list a", 7, "caught up", 8, "now b"]
    assert asked == ["3", "7", "8"]


def test_the_past_goes_on_where_its_watch_broke_off():
    told, asked = follow(
        [change("MODIFIED", "a", 4)], [change("DELETED", "b", 6)], [change("ADDED", "c", 8)], since=3
    )
    assert asked == ["3", "4", "6", "8"]
    assert told == [7, "list a", 4, "missed MODIFIED a", 6, "missed DELETED b", 8, "caught up", "now c"]


def test_without_bookmarks_a_watch_of_its_whole_time_tells_all_that_was_missed():
    told, asked = follow([change("MODIFIED", "a", 4)], since=3, lasting=3.0)
    assert told == [7, "list a", 4, "missed MODIFIED a", 7, "caught up"]
    assert asked == ["3", "7"]


def test_without_a_past_or_with_one_of_another_store_the_list_is_all():
    for since in (0, 8):
        told, asked = follow([change("ADDED", "b", 8)], since=since)
        assert told == [7, "list a", 7, "caught up", 8, "now b"]
        assert asked == ["7", "8"]
