"""What only the official engine does is refused by name, and nothing is touched."""

from __future__ import annotations

import re

import pytest

from infra.engine import Diagnostic, ProjectError

from .cases import up
from .engines import Workshop, embedded, open_engine


@pytest.mark.parametrize(
    ("program", "named"),
    [
        ('pulumi.StackReference("organization/other/dev")', r"reading .* organization/other/dev \(get\)"),
        ('pulumi.CustomResource("toy:index:Thing", "a", {}, Options(id="a"))', r"reading .* a \(get\)"),
        ('pulumi.runtime.invoke("toy:index:ask", {})', r"function toy:index:ask \(invoke\)"),
        ("pulumi.runtime.register_resource_transform(lambda args: None)", "transforms"),
        ('Thing("a", Options(transforms=[lambda args: None]))', "transforms"),
        (
            'hook = pulumi.ResourceHook("hook", lambda args: None)\n'
            'Thing("a", Options(hooks=pulumi.ResourceHookBinding(before_create=[hook])))',
            "hook",
        ),
        ('pulumi.ComponentResource("toy:index:Far", "a", {}, None, remote=True)', "remote components"),
        ('Thing("a", file=pulumi.StringAsset("x"))', "assets"),
    ],
)
def test_a_program_that_needs_more_is_told_what(workshop: Workshop, program: str, named: str) -> None:
    workshop.prepare(up(program))
    result = open_engine(workshop).up()
    assert not result.ok
    told = [d.message for d in result.diagnostics if d.severity == "error"]
    told += [getattr(step, "message", "") for step in result.steps]
    assert any(re.search(named, message) for message in told), told
    assert workshop.calls() == []


def test_a_provider_that_is_not_there_is_named(workshop: Workshop) -> None:
    outcome = embedded(workshop, up('pulumi.CustomResource("far:index:Thing", "a", {})'))
    assert not outcome["ok"]
    assert "no provider 'far'" in outcome["failed"][0]


def test_another_backend_is_refused(workshop: Workshop) -> None:
    workshop.environ["PULUMI_BACKEND_URL"] = "s3://bucket"
    with pytest.raises(ProjectError, match="file://"):
        open_engine(workshop)


def test_a_provider_that_breaks_is_told(workshop: Workshop) -> None:
    source = workshop.project.parent / "provider" / "__main__.py"
    source.write_text(
        source.read_text().replace(
            "async def diff(",
            "async def diff(self, request):\n        raise ValueError('no idea')\n    async def unused(",
        )
    )
    assert embedded(workshop, up('Thing("a")'))["ok"]
    assert embedded(workshop, up('Thing("a", value="x")'))["failed"] == [
        "urn:pulumi:dev::toys::toy:index:Thing::a: no idea"
    ]


def test_what_the_program_prints_is_heard(workshop: Workshop) -> None:
    events: list[object] = []
    workshop.prepare(up('print("hello")\npulumi.log.warn("careful")'))
    assert open_engine(workshop, events.append).preview().ok
    told = [(event.severity, event.message) for event in events if isinstance(event, Diagnostic)]
    # What is printed and what is logged come by two ways, in no order.
    assert sorted(told) == [("info", "hello"), ("warning", "careful")]
