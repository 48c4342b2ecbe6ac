"""Pulumi.yaml and Pulumi.<stack>.yaml, read as the official CLI reads them."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from infra.engine.errors import ProjectError
from infra.engine.passphrase import Cipher
from infra.pulumi_yaml import Loader

_PROJECT: Final = frozenset(
    {
        *("name", "runtime", "main", "backend", "plugins", "config"),
        *(
            "description",
            "author",
            "website",
            "license",
            "template",
        ),  # said of a project, heeded by no engine
    }
)
_STACK: Final = frozenset({"config", "encryptionsalt", "secretsprovider"})


@dataclass(frozen=True)
class Project:
    """What Pulumi.yaml says. Paths are absolute."""

    name: str
    directory: Path
    main: Path
    python: Path
    backend_url: str | None
    providers: Mapping[str, Path]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class ConfigValue:
    """One configuration value as the program gets it: text, structured values as JSON."""

    text: str
    secret: bool


def load_project(directory: Path) -> Project:
    """Read Pulumi.yaml. Raises ProjectError."""
    path = directory / "Pulumi.yaml"
    document = _load_yaml(path)
    runtime = document.get("runtime")
    options = (runtime.get("options") or {}) if isinstance(runtime, dict) else {}
    for key, settings, known in (
        ("", document, _PROJECT),
        ("runtime.options.", options, {"virtualenv"}),
        ("backend.", document.get("backend") or {}, {"url"}),
        ("plugins.", document.get("plugins") or {}, {"providers"}),
    ):
        _refuse_unknown(path, key, settings, known)
    if (runtime.get("name") if isinstance(runtime, dict) else runtime) != "python":
        raise ProjectError(f"{path}: runtime must be python; this engine runs no other")
    name = document.get("name")
    if not isinstance(name, str):
        raise ProjectError(f"{path}: name is missing")
    plugins = document.get("plugins") or {}
    providers = {plugin["name"]: directory / plugin["path"] for plugin in plugins.get("providers") or ()}
    return Project(
        name=name,
        directory=directory,
        main=(directory / document.get("main", ".")).resolve(),
        python=interpreter(directory, options.get("virtualenv")),
        backend_url=(document.get("backend") or {}).get("url"),
        providers=providers,
        config=document.get("config") or {},
    )


def interpreter(directory: Path, virtualenv: str | None) -> Path:
    """Return the Python of a virtual environment, ours when it is not there or none is named."""
    python = directory / virtualenv / "bin" / "python" if virtualenv else Path(sys.executable)
    return python if python.exists() else Path(sys.executable)


def load_stack(project: Project, stack: str, file: Path | None = None) -> Mapping[str, Any]:
    """Read Pulumi.<stack>.yaml, or `file`; without one there is no configuration. Raises ProjectError."""
    path = file or project.directory / f"Pulumi.{stack}.yaml"
    if not path.exists():
        return {}
    document = _load_yaml(path)
    _refuse_unknown(path, "", document, _STACK)
    if (provider := document.get("secretsprovider", "passphrase")) != "passphrase":
        raise ProjectError(
            f"{path}: secretsprovider {provider!r} is one that the embedded engine does not have; change it "
            "to passphrase (pulumi stack change-secrets-provider), or use the official one (--engine pulumi)"
        )
    return document


def _refuse_unknown(path: Path, prefix: str, settings: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises ProjectError for what only the official engine heeds: nothing is taken and then ignored."""
    if unknown := sorted(settings.keys() - set(known)):
        raise ProjectError(
            f"{path}: {prefix}{unknown[0]} is a setting that the embedded engine does not have; remove it, "
            "or use the official one (--engine pulumi)"
        )


def values(project: Project, stack: Mapping[str, Any], cipher: Cipher) -> dict[str, ConfigValue]:
    """Return the configuration of a stack with the project's defaults, every key with its namespace."""
    found: dict[str, ConfigValue] = {}
    for key, value in project.config.items():
        if isinstance(value, dict) and ("default" in value or "value" in value or "type" in value):
            if "default" in value or "value" in value:
                found[_key(project, key)] = _value(value.get("value", value.get("default")), cipher)
        else:
            found[_key(project, key)] = _value(value, cipher)
    for key, value in (stack.get("config") or {}).items():
        found[_key(project, key)] = _value(value, cipher)
    return found


def _key(project: Project, key: str) -> str:
    namespace, _, rest = key.partition(":")
    if not rest:
        return f"{project.name}:{key}"
    return f"{namespace}:{rest.removeprefix('config:')}"


def _value(value: Any, cipher: Cipher) -> ConfigValue:
    if _is_secure(value):
        return ConfigValue(cipher.decrypt(value["secure"]), secret=True)
    if isinstance(value, dict | list):
        plain, secret = _decrypt(value, cipher)
        return ConfigValue(
            json.dumps(plain, ensure_ascii=False, separators=(",", ":"), sort_keys=True), secret
        )
    return ConfigValue(_text(value), secret=False)


def _decrypt(value: Any, cipher: Cipher) -> tuple[Any, bool]:
    if _is_secure(value):
        return cipher.decrypt(value["secure"]), True
    if isinstance(value, list):
        items = [_decrypt(item, cipher) for item in value]
        return [item for item, _ in items], any(secret for _, secret in items)
    if isinstance(value, dict):
        pairs = {str(key): _decrypt(item, cipher) for key, item in value.items()}
        return {key: item for key, (item, _) in pairs.items()}, any(secret for _, secret in pairs.values())
    return value if isinstance(value, str | int | float | None) else str(value), False


def _is_secure(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"secure"} and isinstance(value["secure"], str)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _load_yaml(path: Path) -> dict[str, Any]:
    try:
        document = yaml.load(path.read_text(), Loader=Loader)  # noqa: S506 (a safe one)
    except FileNotFoundError:
        raise ProjectError(f"{path} is missing") from None
    except (OSError, yaml.YAMLError) as error:
        raise ProjectError(f"{path} cannot be read: {error}") from error
    if document is not None and not isinstance(document, dict):
        raise ProjectError(f"{path} must be a mapping")
    return document or {}
