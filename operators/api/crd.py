"""CustomResourceDefinitions, generated from the models: ``python -m operators.api.crd [--check]``.

Without ``--check`` the files in ``crds/`` are written; with it they are compared, and the exit code is 1
where they differ. The schemas are structural:
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from operators.api import GROUP, VERSION, budget, remote_job, remote_site, tenant
from operators.api.generated import FOLDER
from operators.api.values import Model

Object = dict[str, Any]

HEADER: Final = "# Generated from operators/api by `python -m operators.api.crd`. Do not edit.\n"


@dataclass(frozen=True)
class Kind:
    """One kind of the API. ``columns`` are what ``kubectl get`` prints."""

    model: type[Model]
    name: str
    plural: str
    columns: tuple[Object, ...]
    namespaced: bool = False
    short: tuple[str, ...] = ()


def _column(name: str, path: str, kind: str = "string", **others: Any) -> Object:
    return {"name": name, "type": kind, "jsonPath": path, **others}


def _condition(name: str, condition: str, field: str = "status", **others: Any) -> Object:
    return _column(name, f'.status.conditions[?(@.type=="{condition}")].{field}', **others)


_AGE: Final = _column("Age", ".metadata.creationTimestamp", "date")
_KINDS: Final = (
    Kind(
        tenant.Tenant,
        tenant.KIND,
        tenant.PLURAL,
        (
            _column("Ecosystem", ".spec.ecosystem"),
            _column("Quota", ".status.gpus.quota", "integer", description="GPUs of its own"),
            _column("In use", ".status.gpus.used", "integer", description="GPUs it holds"),
            _column("Pending", ".status.pending", "integer", description="Work that waits"),
            _column("Oldest wait", ".status.oldestPendingSince", "date"),
            _condition("Ready", "Ready"),
            _condition("Reason", "Ready", "reason", priority=1),
            _AGE,
        ),
    ),
    Kind(
        remote_site.RemoteSite,
        remote_site.KIND,
        remote_site.PLURAL,
        (
            _column("Title", ".spec.title"),
            _column("Host", ".spec.access.host"),
            _condition("Ready", "Ready"),
            _condition("Answers", "Answers"),
            _condition("Reason", "Answers", "message", priority=1),
            _AGE,
        ),
    ),
    Kind(
        remote_job.RemoteJob,
        remote_job.KIND,
        remote_job.PLURAL,
        (
            _column("State", ".status.state"),
            _column("Reason", ".status.reason"),
            _column("Site", ".status.site"),
            _column("Partition", ".status.partition"),
            _column("Id", ".status.slurmId", "integer", description="The site's job id"),
            _column("Exit", ".status.exitCode", "integer"),
            _column(
                "Place", ".status.queuePosition", "integer", description="In the site's queue; 1 is next"
            ),
            _column("Message", ".status.message", priority=1),
            _AGE,
        ),
        namespaced=True,
        short=("rj",),
    ),
    Kind(
        budget.Budget,
        budget.KIND,
        budget.PLURAL,
        (_column("As of", ".status.asOf", "date"), _AGE),
        namespaced=True,
    ),
)
# What pydantic says of a schema and a structural one has no place for.
_DROPPED: Final = ("title", "additionalProperties", "propertyNames", "$defs")


def definitions() -> list[Object]:
    """Every CustomResourceDefinition of the API."""
    return [_definition(kind) for kind in _KINDS]


def rendered(definition: Object) -> str:
    """A definition as its file holds it."""
    return HEADER + yaml.safe_dump(definition, sort_keys=False, width=100, allow_unicode=True)


def path_of(definition: Object) -> Path:
    """The file of a definition."""
    return FOLDER / f"{definition['metadata']['name']}.yaml"


def main(arguments: list[str]) -> int:
    """Write the files, or compare them with ``--check``; the exit code."""
    stale = []
    for definition in definitions():
        path, text = path_of(definition), rendered(definition)
        if path.is_file() and path.read_text() == text:
            continue
        stale.append(path)
        if "--check" not in arguments:
            path.write_text(text)
            print(f"wrote {path}")
    if stale and "--check" in arguments:
        print(f"{', '.join(map(str, stale))}: not what the models say; run: python -m operators.api.crd")
        return 1
    return 0


def _definition(kind: Kind) -> Object:
    schema = kind.model.model_json_schema(by_alias=True)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                **({"shortNames": list(kind.short)} if kind.short else {}),
                "categories": ["antenna"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": structural(schema, schema.get("$defs", {}))},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": list(kind.columns),
                }
            ],
        },
    }


def structural(schema: Object, models: Object) -> Object:
    """A JSON schema of pydantic's as a structural one: no references, no unions, no titles."""
    if "$ref" in schema:
        named = models[schema["$ref"].rpartition("/")[2]]
        schema = {**named, **{k: v for k, v in schema.items() if k != "$ref"}}
    if "anyOf" in schema:
        (given,) = (option for option in schema["anyOf"] if option != {"type": "null"})
        rest = {k: v for k, v in schema.items() if k != "anyOf" and (k, v) != ("default", None)}
        return structural({**given, **rest}, models)
    made = {k: v for k, v in schema.items() if k not in _DROPPED}
    if "description" in made:
        made["description"] = " ".join(made["description"].split())
    if isinstance(schema.get("properties"), dict):
        made["properties"] = {k: structural(v, models) for k, v in schema["properties"].items()}
    if isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = structural(schema["additionalProperties"], models)
    if "items" in schema:
        made["items"] = structural(schema["items"], models)
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
