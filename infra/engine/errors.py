"""What the engine raises. The text of each is meant for the person at the terminal."""

from __future__ import annotations

from infra.engine.lock import Holder


class EngineError(Exception):
    """Base of everything that stops an operation before or while it runs."""


class ProjectError(EngineError):
    """Pulumi.yaml or Pulumi.<stack>.yaml is missing, malformed or uses what the engine lacks."""


class StateError(EngineError):
    """The stack's state cannot be read or uses a feature that the engine lacks."""


class PassphraseError(EngineError):
    """The passphrase is missing or wrong."""


class PluginError(EngineError):
    """A provider could not be started or broke the protocol."""


class UnsupportedError(EngineError):
    """The program asks for something that only the official engine does."""


class LockedError(EngineError):
    """Somebody else is working on the stack."""

    def __init__(self, holders: tuple[Holder, ...]) -> None:
        self.holders = holders
        who = "; ".join(str(holder) for holder in holders)
        super().__init__(f"the stack is locked by {who}. Wait for it to end, or stop that process.")
