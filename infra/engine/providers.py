"""The providers of an operation: started when needed, known by reference ``URN::ID`` as in the state."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from infra.engine import urn as urns
from infra.engine.errors import EngineError, UnsupportedError
from infra.engine.plugin import Diff, Plugin
from infra.engine.properties import UNKNOWN, Properties

_INTERNAL = "__internal"


class Providers:
    """Starts, configures and finds providers. `launch` starts the provider of a package."""

    def __init__(self, launch: Callable[[str], Plugin]) -> None:
        self._launch = launch
        # Linux ends a child with the thread that started it (PR_SET_PDEATHSIG), not with the process: all
        # start from one thread that lives as long as they do.
        self._starter = ThreadPoolExecutor(1)
        self._warm: dict[str, Future[Plugin]] = {}
        self._configured: dict[str, Plugin] = {}
        self._checked: dict[str, Plugin] = {}
        self._started: list[Plugin] = []
        self._lock = threading.RLock()

    def get(self, reference: str) -> Plugin:
        """Return a provider that was registered. Raises EngineError for one that was not."""
        with self._lock:
            if reference not in self._configured:
                raise EngineError(f"the provider {reference} was not registered")
            return self._configured[reference]

    def has(self, reference: str) -> bool:
        """Tell whether a provider was registered."""
        with self._lock:
            return reference in self._configured

    def check(self, urn: str, old: Properties, new: Properties) -> tuple[Properties, list[tuple[str, str]]]:
        """Start a provider and let it validate its own configuration."""
        if _INTERNAL in new:
            raise UnsupportedError(f"{urn}: parameterized providers need the official engine")
        with self._lock:
            checked = self._start(urns.package_of(urns.type_of(urn)))
            inputs, failures = checked.check_config(urn, old, new)
            self._checked[urn] = checked
        if "version" in new:
            inputs.setdefault("version", new["version"])
        return inputs, failures

    def diff(self, urn: str, old: Properties, new: Properties) -> Diff:
        """Let a provider that was checked compare two configurations of itself."""
        with self._lock:
            return self._checked[urn].diff_config(urn, old, new)

    def create(self, urn: str, inputs: Properties, *, preview: bool) -> str:
        """Configure a provider that is new, or whose configuration changed; returns its id."""
        id_ = UNKNOWN if preview else str(uuid.uuid4())
        self.configure(urn, id_, inputs)
        return id_

    def configure(self, urn: str, id_: str, inputs: Properties) -> None:
        """Configure the provider as it was or as it was checked, and make it known by its reference."""
        reference = f"{urn}::{id_}"
        with self._lock:
            chosen = self._checked.pop(urn, None)
            if chosen is None:
                if reference in self._configured:
                    return
                chosen = self._start(urns.package_of(urns.type_of(urn)))
            chosen.configure(urn, id_, inputs)
            self._configured[reference] = chosen

    def cancel(self) -> None:
        """Ask every provider to break off."""
        for started in list(self._started):
            started.cancel()

    def close(self) -> None:
        """End every provider's process."""
        for started in self._started:
            started.close()
        for unused in self._warm.values():
            if unused.exception() is None:
                unused.result().close()
        self._starter.shutdown()

    def warm_up(self, package: str) -> None:
        """Start a provider that will be needed, while the program starts too."""
        with self._lock:
            self._warm[package] = self._starter.submit(self._launch, package)

    def _start(self, package: str) -> Plugin:
        coming = self._warm.pop(package, None) or self._starter.submit(self._launch, package)
        started = coming.result()
        self._started.append(started)
        return started
