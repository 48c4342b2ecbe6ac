"""The embedded engine: previews, updates, refreshes and destroys a stack of this project."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.engine import backend as backends
from infra.engine import config, passphrase, state
from infra.engine.backend import FileBackend
from infra.engine.config import ConfigValue
from infra.engine.events import Diagnostic, Event, Result, Summary
from infra.engine.lock import Holder
from infra.engine.passphrase import Cipher
from infra.engine.properties import mask, reveal
from infra.engine.record import Record
from infra.engine.state import Resource, Snapshot

if TYPE_CHECKING:
    from infra.engine.operation import Operation

_DEFAULT_BACKEND = "file://~"


class Engine:
    """One stack of a project. Every method reads the files anew, so an engine may be kept."""

    def __init__(
        self,
        project_dir: Path,
        stack: str,
        *,
        backend_url: str | None = None,
        config_file: Path | None = None,
        events: Callable[[Event], None] | None = None,
        parallel: int = 16,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._environ = dict(os.environ if environ is None else environ)
        self._project = config.load_project(project_dir.resolve())
        self._stack = stack
        self._config_file = config_file
        url = backend_url or self._environ.get("PULUMI_BACKEND_URL") or self._project.backend_url
        root = backends.root_of(url or _DEFAULT_BACKEND, self._project.directory)
        self._backend = FileBackend(root, self._project.name, stack)
        self._events = events
        self._parallel = parallel
        self._running: Operation | None = None

    def preview(self, targets: Sequence[str] = ()) -> Result:
        """Tell what an up would do; touches nothing and takes no lock."""
        return self._run("preview", targets, preview=True, work=lambda operation: operation.update())

    def up(self, refresh: bool = False, targets: Sequence[str] = ()) -> Result:
        """Make everything as the program says; `refresh` looks first at what is really there."""

        def work(operation: Operation) -> None:
            if refresh:
                operation.refresh_and_update()
            else:
                operation.update()

        return self._run("up", targets, preview=False, work=work)

    def refresh(self, preview: bool = False, targets: Sequence[str] = ()) -> Result:
        """Look at what is really there and take it as the state; the steps tell what differs."""
        return self._run("refresh", targets, preview=preview, work=lambda operation: operation.refresh())

    def destroy(self, preview: bool = False, targets: Sequence[str] = ()) -> Result:
        """Delete everything in the state."""
        return self._run("destroy", targets, preview=preview, work=lambda operation: operation.destroy())

    def outputs(self, show_secrets: bool = False) -> dict[str, Any]:
        """Return the stack's outputs as the state has them; empty for a stack that was never up."""
        outputs = state.outputs_of(self.resources())
        return dict(reveal(outputs) if show_secrets else mask(outputs))

    def resources(self) -> list[Resource]:
        """Return the resources of the state."""
        return list(self._load()[0].resources)

    def lock_holder(self) -> Holder | None:
        """Return who is working on the stack, None for nobody."""
        return next((holder for holder in self._backend.holders() if not holder.is_dead()), None)

    def locks(self) -> list[Holder]:
        """Return everybody who holds the stack's lock, processes that are gone too."""
        return self._backend.holders()

    def unlock(self) -> list[Holder]:
        """Remove the stack's locks, whoever holds them; returns who did."""
        return self._backend.unlock()

    def cancel(self) -> None:
        """Start no more steps; those that run are finished and saved. A second call interrupts them."""
        if self._running is not None:
            self._running.cancel()

    def _load(self) -> tuple[Snapshot, Cipher, dict[str, ConfigValue]]:
        """Read the state and the configuration; the cipher is the state's."""
        stack = config.load_stack(self._project, self._stack, self._config_file)
        salt = str(stack.get("encryptionsalt") or "")
        content = self._backend.read()
        state_salt = salt
        if content is not None:
            latest = state.parse(content)["checkpoint"].get("latest") or {}
            state_salt = passphrase.salt_of(latest.get("secrets_providers")) or salt
        cipher = Cipher(state_salt, self._environ)
        # The file's secrets were encrypted with the file's salt, where it has one.
        config_cipher = Cipher(salt, self._environ) if salt not in ("", state_salt) else cipher
        snapshot = Snapshot() if content is None else state.load(content, cipher)
        return snapshot, cipher, config.values(self._project, stack, config_cipher)

    def _run(
        self, op: str, targets: Sequence[str], *, preview: bool, work: Callable[[Operation], None]
    ) -> Result:
        # Who only reads the state needs neither gRPC nor Pulumi, which take a second and a half to import.
        from infra.engine.operation import Operation  # noqa: PLC0415

        started = time.monotonic()
        record = Record(self._events)
        with contextlib.ExitStack() as stack:
            if not preview:
                for dead in stack.enter_context(self._backend.locked()):
                    record.emit(Diagnostic("info", f"cleared the lock of {dead}, which is gone"))
                self._backend.keep_copy()
            snapshot, cipher, configuration = self._load()

            def write(current: Snapshot) -> None:
                whole = Snapshot(current.resources, current.pending, cipher.provider_state())
                self._backend.write(state.dump(self._backend.stack_name, whole, cipher))

            operation = Operation(
                project=self._project,
                stack=self._stack,
                snapshot=snapshot,
                write=None if preview else write,
                configuration=configuration,
                record=record,
                targets=targets,
                parallel=self._parallel,
                environ=self._environ,
            )
            self._running = operation
            stack.enter_context(_interrupts(self.cancel))
            try:
                work(operation)
            finally:
                self._running = None
                operation.close()
        result = record.result(
            op,
            outputs=mask(state.outputs_of(operation.resources())),
            cancelled=operation.cancelled,
            duration=time.monotonic() - started,
        )
        record.emit(Summary(result))
        return result


@contextlib.contextmanager
def _interrupts(cancel: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C and a polite kill cancel instead of ending the process; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = {
        number: signal.signal(number, lambda *_: cancel()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
