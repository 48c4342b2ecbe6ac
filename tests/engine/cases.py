"""The conformance suite: small programs, a row each, and what is done with them one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

A = "urn:pulumi:dev::toys::toy:index:Thing::a"
B = "urn:pulumi:dev::toys::toy:index:Thing::b"
DELETE_FIRST = """
a = Thing("a", label="{}", before=True)
Thing("b", label=a.label)
Thing("c", value=a.label)
"""
# The passphrase of the stacks is "toys"; the secret in this configuration is "hush".
STACK_CONFIG = """
encryptionsalt: v1:t9IdY6CpSTo=:v1:HDULcbZGmzI1Bncl:5b0gzUnOwodY0+a8FwOJAMh1fhiH0w==
config:
  toys:key:
    secure: v1:pVsdvhyDQEcyKsnr:67AOqV9zqEl08l+S7FzJ3gXnVBk=
  site:network: {cidr: 10.0.0.0/24, hosts: [1, 2]}
  toys:count: 3
  toys:on: true
"""


@dataclass(frozen=True)
class Step:
    """One operation of an engine on a program, after `cloud` was changed by hand (None: deleted)."""

    op: str
    program: str = ""
    config: str = ""
    targets: tuple[str, ...] = ()
    cloud: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A name and the steps, each on the state that the one before it left."""

    name: str
    steps: tuple[Step, ...]


def up(program: str, **rest: Any) -> Step:
    return Step("up", program, **rest)


def preview(program: str, **rest: Any) -> Step:
    return Step("preview", program, **rest)


def refresh(**rest: Any) -> Step:
    return Step("refresh", **rest)


def destroy(**rest: Any) -> Step:
    return Step("destroy", **rest)


CASES = [
    Case(name, steps)
    for name, *steps in [
        (
            "creates, then changes nothing",
            up('a = Thing("a", value="x", size=2.5, tags=["k", {"v": 1}])\nexport("loud", a.loud)'),
            up('a = Thing("a", value="x", size=2.5, tags=["k", {"v": 1}])\nexport("loud", a.loud)'),
        ),
        (
            "updates in place",
            up('Thing("a", value="x")'),
            up('Thing("a", value="y", more=True)'),
            up('Thing("a")'),
        ),
        (
            "replaces: new before old",
            up('a = Thing("a", label="one")\nThing("b", value=a.loud)'),
            up('a = Thing("a", label="two")\nThing("b", value=a.loud)'),
        ),
        (
            "replaces: old before new, with what must go first",
            up(DELETE_FIRST.format("one")),
            preview(DELETE_FIRST.format("two")),
            up(DELETE_FIRST.format("two")),
        ),
        (
            "replaces: old before new because the program says so",
            up('Thing("a", Options(delete_before_replace=True), label="one")'),
            up('Thing("a", Options(delete_before_replace=True), label="two")'),
        ),
        (
            "replaces: new before old although the provider would not",
            up('Thing("a", Options(delete_before_replace=False), label="one", before=True)'),
            up('Thing("a", Options(delete_before_replace=False), label="two", before=True)'),
        ),
        (
            "replaces on changes that the program names",
            up('Thing("a", Options(replace_on_changes=["value"]), value="x", other=1)'),
            up('Thing("a", Options(replace_on_changes=["value"]), value="x", other=2)'),
            up('Thing("a", Options(replace_on_changes=["value"]), value="y", other=2)'),
            up('Thing("a", Options(replace_on_changes=["*"]), value="z", other=2)'),
        ),
        (
            "deletes what is no longer asked for",
            up('a = Thing("a")\nb = Thing("b", value=a.loud)\nThing("c", Options(depends_on=[b]))'),
            preview('Thing("a")'),
            up('Thing("a")'),
            destroy(),
        ),
        (
            "keeps dependencies and property dependencies",
            up(
                'a = Thing("a", value="x")\nb = Thing("b")\n'
                'Thing("c", Options(depends_on=[b]), value=a.loud, both=[a.loud, b.loud])'
            ),
            up('a = Thing("a", value="x")\nb = Thing("b")\nThing("c", value=a.loud, both=[a.loud, b.loud])'),
        ),
        (
            "nests components",
            up(
                'outer = Box("outer", colour="red")\ninner = Box("inner", outer.inside)\n'
                'a = Thing("a", inner.inside, value="x")\nThing("b", Options(depends_on=[outer]))'
            ),
            up(
                'outer = Box("outer", colour="blue")\n'
                'inner = Box("inner", outer.inside)\nThing("a", inner.inside)'
            ),
            up('Box("outer", colour="blue")'),
        ),
        (
            "follows aliases of names and parents",
            up('Thing("a", label="one")\nThing("b", label="two", value="x")'),
            up(
                'box = Box("box")\n'
                'Thing("new", Options(aliases=[pulumi.Alias(name="a")]), label="one")\n'
                'Thing("b", Options(parent=box, aliases=[pulumi.Alias(parent=pulumi.ROOT_STACK_RESOURCE)]),'
                ' label="two", value="x")'
            ),
            up(
                'box = Box("box")\nnew = Thing("new", label="one")\n'
                'Thing("b", Options(parent=box), label="two", value="x")'
            ),
        ),
        (
            "follows the alias of a component down to its children",
            up('box = Box("box")\na = Thing("box-a", box.inside, label="one")\nThing("c", value=a.loud)'),
            up(
                'box = Box("crate", Options(aliases=[pulumi.Alias(name="box")]))\n'
                'a = Thing("crate-a", box.inside, label="one")\nThing("c", value=a.loud)'
            ),
        ),
        (
            "refuses to delete what is protected",
            up('b = Thing("b")\nThing("a", Options(protect=True, depends_on=[b]))'),
            up('b = Thing("b")'),
            up('b = Thing("b")\nThing("a", Options(protect=True, depends_on=[b]), label="other")'),
            up('b = Thing("b")\nThing("a", Options(depends_on=[b]))'),
            up('b = Thing("b")'),
        ),
        (
            "hands protection down to children",
            up('box = Box("box", Options(protect=True))\nThing("a", box.inside)'),
            destroy(),
        ),
        (
            "ignores changes that it is told to ignore",
            up('Thing("a", value="x", nested={"k": 1, "l": 1})'),
            up('Thing("a", Options(ignore_changes=["value"]), value="y", nested={"k": 1, "l": 1})'),
            up(
                'Thing("a", Options(ignore_changes=["value", "nested.k"]),'
                ' value="y", nested={"k": 2, "l": 2})'
            ),
            up('Thing("a", value="y", nested={"k": 2, "l": 2})'),
        ),
        (
            "keeps secrets secret",
            up(
                'a = Thing("a", value=secret("s3cret"), deep={"k": secret([1, 2])})\n'
                'Thing("b", Options(additional_secret_outputs=["loud"]), value="plain", copy=a.value)\n'
                'export("loud", a.loud)\nexport("open", "x")'
            ),
            up(
                'a = Thing("a", value=secret("s3cret"), deep={"k": secret([1, 2])})\n'
                'Thing("b", Options(additional_secret_outputs=["loud"]), value="plain", copy=a.value)\n'
                'export("loud", a.loud)\nexport("open", "x")'
            ),
            up('Thing("a", value="s3cret", deep={"k": [1, 2]})'),
        ),
        (
            "reads configuration",
            up(
                'own = pulumi.Config()\nsite = pulumi.Config("site").require_object("network")\n'
                'Thing("a", value=own.require_secret("key"), count=own.require_int("count"),'
                ' on=own.get_bool("on"),'
                " hosts=site['hosts'])\nexport('cidr', site['cidr'])",
                config=STACK_CONFIG,
            ),
        ),
        (
            "hands configuration to the default provider",
            up('Thing("a")', config="config: {toy:region: north, toy:zones: [1, 2]}"),
            up('Thing("a")', config="config: {toy:region: south, toy:zones: [1, 2]}"),
        ),
        (
            "uses providers that the program makes",
            up(
                'toy = Toy("mine", region="north")\nbox = Box("box", Options(providers=[toy]))\n'
                'Thing("a", Options(provider=toy))\nThing("b", box.inside)'
            ),
            up(
                'toy = Toy("mine", region="south")\nbox = Box("box", Options(providers=[toy]))\n'
                'Thing("a", Options(provider=toy))\nThing("b", box.inside)'
            ),
            up('Thing("a")'),
        ),
        (
            "shows unknowns in previews",
            preview(
                'a = Thing("a", value="x")\nb = Thing("b", value=a.loud, l=[a.loud])\nexport("loud", b.loud)'
            ),
            up('a = Thing("a", value="x")\nb = Thing("b", value=a.loud, l=[a.loud])\nexport("loud", b.loud)'),
            preview(
                'a = Thing("a", label="other", value="x")\n'
                'b = Thing("b", value=a.loud, l=[a.loud])\nexport("loud", b.loud)'
            ),
        ),
        (
            "stops half-way when a create fails, and goes on",
            up(
                'a = Thing("a")\nb = Thing("b", value=a.loud, fail="create")\n'
                'Thing("c", value=b.loud)\nexport("x", 1)'
            ),
            up('a = Thing("a")\nb = Thing("b", value=a.loud)\nThing("c", value=b.loud)\nexport("x", 1)'),
        ),
        (
            "stops when an update fails, and goes on",
            up('Thing("a", value="x")\nexport("one", 1)\nexport("two", 2)'),
            up('Thing("a", value="y", fail="update")\nexport("one", 10)'),
            up('Thing("a", value="y")\nexport("one", 10)'),
        ),
        (
            "stops when a replacement fails, and goes on",
            up('Thing("a", label="one")'),
            up('Thing("a", label="two", fail="create")'),
            up('Thing("a", label="two")'),
        ),
        (
            "stops when the second half of a replacement fails, and goes on",
            up('Thing("a", label="one", before=True)'),
            up('Thing("a", label="two", before=True, fail="create")'),
            up('Thing("a", label="two", before=True)'),
        ),
        (
            "stops when a delete fails, and goes on",
            up('a = Thing("a")\nThing("b", value=a.loud, fail="delete")'),
            destroy(),
            up('a = Thing("a")\nThing("b", value=a.loud)'),
            destroy(),
        ),
        (
            "refuses what the provider's check refuses",
            up('Thing("a", value="forbidden")'),
            up('Thing("a", value="allowed")'),
        ),
        (
            "refuses two resources of one name",
            up('Thing("a")\nThing("a")'),
        ),
        (
            "finds drift, and mends it",
            up('a = Thing("a", value="x")\nThing("b", value=a.loud)\nThing("c")'),
            refresh(cloud={"a": {"label": "a", "value": "drifted"}, "c": None}),
            up('a = Thing("a", value="x")\nThing("b", value=a.loud)\nThing("c")'),
        ),
        (
            "refreshes what nothing happened to",
            up('box = Box("box")\nThing("a", box.inside, value=secret("x"))'),
            refresh(),
        ),
        (
            "refreshes targets only",
            up('Thing("a", value="x")\nThing("b", value="x")'),
            refresh(
                targets=(A,), cloud={"a": {"label": "a", "value": "1"}, "b": {"label": "b", "value": "2"}}
            ),
        ),
        (
            "imports by option",
            up('Thing("z")'),
            preview(
                'Thing("z")\nThing("a", Options(import_="a"), value="x")',
                cloud={"a": {"label": "a", "value": "x"}},
            ),
            up('Thing("z")\nThing("a", Options(import_="a"), value="x")'),
            up('Thing("z")\nThing("a", Options(import_="a"), value="x")'),
            up('Thing("z")\nThing("a", value="y")'),
        ),
        (
            "does not delete what goes with something else",
            up('a = Thing("a")\nThing("b", Options(deleted_with=a), fail="delete")'),
            destroy(),
        ),
        (
            "does not delete what goes with a component's parent",
            up(
                'a = Thing("a")\nbox = Box("box", Options(deleted_with=a))\n'
                'Thing("b", box.inside, fail="delete")'
            ),
            up(""),
        ),
        (
            "keeps what it is told to retain",
            up('Thing("a", Options(retain_on_delete=True), fail="delete")'),
            up(""),
        ),
        (
            "updates targets only",
            up('a = Thing("a", value="x")\nThing("b", value="x")\nThing("c", value=a.loud)'),
            up(
                'a = Thing("a", value="y")\nThing("b", value="y")\nThing("c", value=a.loud)\nThing("d")',
                targets=(B,),
            ),
            up('a = Thing("a", value="y")\nThing("c", value=a.loud)', targets=("**::a",)),
            destroy(targets=("**::c",)),
        ),
        (
            "keeps timeouts",
            up('Thing("a", Options(custom_timeouts=pulumi.CustomTimeouts(create="1m30s", delete="2h")))'),
        ),
        (
            "changes and drops stack outputs",
            up('export("a", 1)\nexport("b", {"k": [True, None]})'),
            up('export("a", 2)'),
        ),
        (
            "reports a program that fails",
            up('Thing("a")\nexport("a", 1)'),
            up('raise ValueError("the program is wrong")'),
        ),
    ]
]
