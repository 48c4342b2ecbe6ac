"""What whoever holds the operator's token might try to write, and what the API server says to it.

The rows are in ``operators_writes.yaml``. Harmless all: every request is a dry run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from operators.kube.client import APPLY, JSON, MERGE, Cluster
from operators.manifests import NAME

Object = dict[str, Any]


@dataclass(frozen=True)
class Write:
    """One request."""

    what: str
    verb: str
    kind: str
    name: str
    namespace: str = ""
    group: str = "v1"
    """API version."""
    sub: str = ""
    """Subresource."""
    body: Object = field(default_factory=dict)
    says: str = ""
    """Part of the refusal; where two may come first, either: ``one|other``. "" where it is taken."""

    def is_said(self, refusal: str) -> bool:
        """Whether a refusal is the one that is to come."""
        return any(words in refusal for words in self.says.split("|"))

    def send(self, cluster: Cluster, names: Mapping[str, str]) -> None:
        """As a dry run. Raises ApiError. ``names`` stand in the place of their keys."""
        text = json.dumps([self.name, self.namespace, self.body])
        for key, value in names.items():
            text = text.replace(key, value)
        name, namespace, body = json.loads(text)
        path = cluster.path(self.group, self.kind, namespace or None)
        at = f"{path}/{name}" + (f"/{self.sub}" if self.sub else "")
        metadata = {
            "name": name,
            **({"namespace": namespace} if namespace else {}),
            **body.get("metadata", {}),
        }
        obj = {"apiVersion": self.group, "kind": self.kind, **body, "metadata": metadata}
        query = {"dryRun": "All"}
        match self.verb:
            case "create":
                cluster.request("POST", at if self.sub else path, query=query, body=obj)
            case "apply":
                query |= {"fieldManager": NAME, "force": "true"}
                cluster.request("PATCH", at, query=query, body=obj, content_type=APPLY)
            case "patch":
                cluster.request("PATCH", at, query=query, body=body, content_type=MERGE)
            case _:
                # Of a deletion only what its body asks for counts.
                cluster.request("DELETE", at, body={"dryRun": ["All"]}, content_type=JSON)


def _rows(table: str) -> tuple[Write, ...]:
    return tuple(
        Write(row["what"], **row["at"], body=row.get("body", {}), says=row.get("says", ""))
        for row in _TABLES[table]
    )


_TABLES: Final = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
REFUSED: Final = _rows("refused")
TAKEN: Final = _rows("taken")
OTHER_KINDS: Final = _rows("other")
"""What it has no right to; nor would it be taken from it if it had."""
