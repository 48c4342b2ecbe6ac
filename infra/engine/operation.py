"""One operation on a stack: what it starts, and stops again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from pulumi.runtime.proto import resource_pb2

from infra.engine import deletion, launch, program
from infra.engine import refresh as refreshing
from infra.engine.config import ConfigValue, Project
from infra.engine.deployment import Deployment
from infra.engine.events import Diagnostic
from infra.engine.journal import Journal
from infra.engine.monitor import Monitor, Server
from infra.engine.plugin import Plugin
from infra.engine.process import Process
from infra.engine.properties import Properties, secret
from infra.engine.providers import Providers
from infra.engine.record import Record
from infra.engine.run import Run
from infra.engine.state import Resource, Snapshot
from infra.engine.steps import Steps


class Operation:
    """One run of the engine."""

    def __init__(
        self,
        *,
        project: Project,
        stack: str,
        snapshot: Snapshot,
        write: Callable[[Snapshot], None] | None,
        configuration: Mapping[str, ConfigValue],
        record: Record,
        targets: Sequence[str],
        parallel: int,
        environ: Mapping[str, str],
    ) -> None:
        """Prepare; `write` saves the state, None makes this a preview."""
        self._project = project
        self._configuration = configuration
        self._record = record
        self._environ = environ
        self._cancels = 0
        self._program: Process | None = None
        for left in snapshot.pending:
            message = f"an earlier run was cut off while {left.type} it; it is taken up again"
            record.emit(Diagnostic("info", message, left.resource.urn))
        self._journal = Journal(snapshot, write)
        self._providers = Providers(self._launch)
        preview = write is None
        self._steps = Steps(self._journal, self._providers, record.emit, preview=preview, parallel=parallel)
        self._server = Server(record.emit, self._steps.halted)
        self._run = Run(
            project=project.name,
            stack=stack,
            preview=preview,
            parallel=parallel,
            targets=targets,
            journal=self._journal,
            providers=self._providers,
            steps=self._steps,
            emit=record.emit,
            resources=list(snapshot.resources),
        )
        self._deployment = Deployment(self._run, self._provider_config)

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked to stop."""
        return self._cancels > 0

    def resources(self) -> tuple[Resource, ...]:
        """Return the resources as they are now."""
        return self._journal.snapshot().resources

    def update(self) -> None:
        """Run the program and do what it asks."""
        self._server.start(self._monitor())
        for package in self._project.providers:
            self._providers.warm_up(package)
        self._run_program()

    def refresh_and_update(self) -> None:
        """Look first, then do what the program asks."""
        self._server.start(self._monitor())
        refreshing.refresh(self._run)
        if not self._steps.halted.is_set():
            self._run_program()

    def refresh(self) -> None:
        """Look."""
        self._server.start(None)
        refreshing.refresh(self._run)

    def destroy(self) -> None:
        """Delete everything."""
        self._server.start(None)
        deletion.destroy(self._run)

    def cancel(self) -> None:
        """Halt; the second time interrupt the providers too."""
        self._cancels += 1
        self._steps.halted.set()
        if self._cancels == 1:
            self._record.emit(
                Diagnostic("warning", "stopping: steps that run are finished, no other is started")
            )
        else:
            self._record.emit(Diagnostic("warning", "interrupting what runs"))
            if self._program is not None:
                self._program.ask_to_end()
            threading.Thread(target=self._providers.cancel, daemon=True).start()

    def close(self) -> None:
        """Save what is not yet saved and stop every process."""
        try:
            self._journal.close()
        finally:
            self._providers.close()
            self._server.stop()

    def _monitor(self) -> Monitor:
        info = resource_pb2.DeploymentInfo(
            project=self._project.name,
            stack=self._run.stack,
            organization="organization",
            dryRun=self._run.preview,
            parallel=self._run.parallel,
        )
        return Monitor(self._deployment, self._steps, self._project.directory, info, self._configuration)

    def _run_program(self) -> None:
        child = program.start(
            self._project,
            self._run.stack,
            self._configuration,
            self._server.address,
            preview=self._run.preview,
            parallel=self._run.parallel,
            environ=self._environ,
            hear=lambda line: self._record.emit(Diagnostic("info", line)),
        )
        self._program = child
        try:
            status = child.wait()
        finally:
            child.stop()
        succeeded = status == 0 and not self._steps.halted.is_set()
        if status and not (self._record.failed or self.cancelled):
            self._record.emit(Diagnostic("error", f"the program ended with status {status}"))
        self._deployment.finish(succeeded=succeeded)

    def _launch(self, package: str) -> Plugin:
        def log(line: str) -> None:
            self._record.emit(Diagnostic("info", f"{package}: {line}"))

        return launch.start(package, self._project, self._server.address, environ=self._environ, log=log)

    def _provider_config(self, package: str) -> Properties:
        prefix = f"{package}:"
        return {
            key.removeprefix(prefix): secret(value.text) if value.secret else value.text
            for key, value in self._configuration.items()
            if key.startswith(prefix)
        }
