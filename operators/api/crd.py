"""CustomResourceDefinitions, generated from the models: ``python -m operators.api.crd [--check]``.

Without ``--check`` the files in ``crds/`` are written; with it they are compared, and the exit code is 1
where they differ. The schemas are structural:
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import yaml

from operators.api import GROUP, VERSION
from operators.api.tenant import KIND, PLURAL, Tenant
from operators.api.values import Model

Object = dict[str, Any]

FOLDER: Final = Path(__file__).with_name("crds")
HEADER: Final = "# Generated from operators/api by `python -m operators.api.crd`. Do not edit.\n"

_COLUMNS: Final[list[Object]] = [
    {"name": "Ecosystem", "type": "string", "jsonPath": ".spec.ecosystem"},
    {"name": "Quota", "type": "integer", "jsonPath": ".status.gpus.quota", "description": "GPUs of its own"},
    {"name": "In use", "type": "integer", "jsonPath": ".status.gpus.used", "description": "GPUs it holds"},
    {"name": "Pending", "type": "integer", "jsonPath": ".status.pending", "description": "Work that waits"},
    {"name": "Oldest wait", "type": "date", "jsonPath": ".status.oldestPendingSince"},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {
        "name": "Reason",
        "type": "string",
        "jsonPath": '.status.conditions[?(@.type=="Ready")].reason',
        "priority": 1,
    },
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
# What pydantic says of a schema and a structural one has no place for.
_DROPPED: Final = ("title", "additionalProperties", "propertyNames", "$defs")


def definitions() -> list[Object]:
    """Every CustomResourceDefinition of the API."""
    return [_definition(Tenant, KIND, PLURAL, _COLUMNS)]


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


def _definition(model: type[Model], kind: str, plural: str, columns: list[Object]) -> Object:
    schema = model.model_json_schema(by_alias=True)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "categories": ["antenna"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": structural(schema, schema.get("$defs", {}))},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
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
