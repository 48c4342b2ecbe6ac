"""What the parts of one operation share: the state it starts from, and what it has done so far."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from infra.engine import urn as urns
from infra.engine.errors import EngineError
from infra.engine.events import Event
from infra.engine.goal import Goal
from infra.engine.journal import Journal
from infra.engine.providers import Providers
from infra.engine.state import Resource
from infra.engine.steps import Steps


class RefusedError(Exception):
    """A registration that cannot be: the message is for the program's author."""


@dataclass(kw_only=True)
class Run:
    """One operation on one stack. Whoever changes a collection holds `lock`."""

    project: str
    stack: str
    preview: bool
    parallel: int
    targets: Sequence[str]
    journal: Journal
    providers: Providers
    steps: Steps
    emit: Callable[[Event], None]
    resources: list[Resource]
    lock: threading.RLock = field(default_factory=threading.RLock)
    olds: dict[str, Resource] = field(default_factory=dict)
    """The resources of the state by URN, without those that only wait to be deleted."""
    goals: dict[str, Goal] = field(default_factory=dict)
    """What the program registered so far."""
    news: dict[str, Resource] = field(default_factory=dict)
    """What came of it."""
    claimed: dict[str, str] = field(default_factory=dict)
    """URN in the state -> URN of this run, where an alias joined them."""
    replaced: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    """URNs that this run deletes; one that is registered after all is made again."""
    deleted_early: dict[int, list[str]] = field(default_factory=dict)
    """Resources that were deleted before their replacement, with the properties that made it necessary."""
    skipped: set[str] = field(default_factory=set)
    """URNs that do not exist and are no targets."""

    def __post_init__(self) -> None:
        self.rebase(self.resources)

    def rebase(self, resources: Sequence[Resource]) -> None:
        """Start from other resources, after a refresh."""
        self.resources = list(resources)
        self.olds = {resource.urn: resource for resource in self.resources if not resource.delete}

    def is_target(self, urn: str) -> bool:
        """Tell whether the operation concerns a resource."""
        return not self.targets or any(urns.matches(urn, pattern) for pattern in self.targets)

    def ensure_provider(self, reference: str) -> None:
        """Start the provider of the state that a resource names. Raises EngineError."""
        if not reference or self.providers.has(reference):
            return
        urn, _, id_ = reference.rpartition("::")
        provider = next((r for r in self.resources if r.urn == urn and r.id == id_), None)
        if provider is None:
            raise EngineError(f"the state names the provider {reference} but does not have it")
        self.providers.configure(provider.urn, provider.id, provider.inputs)
