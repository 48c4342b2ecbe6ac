#!/usr/bin/python
"""Kubernetes objects that nodes themselves depend on, applied from the head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: cluster_objects
short_description: Server-side apply of a few objects with the head's own credentials
description:
  - For what must be there before anything outside the machines can reach the cluster. A difference is found
    by "kubectl diff", which asks the API server itself.
options:
  objects: {description: The objects., type: list, elements: dict, required: true}
  secret:
    description: A Secret made of files of the head, applied after the objects. What is in them is not shown.
    type: dict
    suboptions:
      name: {description: The Secret., type: str, required: true}
      namespace: {description: Its namespace., type: str, required: true}
      folder: {description: Where the files are., type: path, required: true}
      files: {description: "Their names, its keys.", type: list, elements: str, required: true}
  manager: {description: Name of the field manager., type: str, default: antenna-nodes}
  kubectl: {description: The kubectl program., type: path, required: true}
"""

EXAMPLES = r"""
- name: Let nodes read services
  cluster_objects:
    kubectl: /opt/antenna/artifacts/bin/kubectl
    objects: "{{ kubernetes_objects }}"
"""

RETURN = r"""
changes: {description: One line an object that differs., type: list, elements: str, returned: always}
"""

DIFFERS = 1


SECRET = {
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "required": True},
    "folder": {"type": "path", "required": True},
    "files": {"type": "list", "elements": "str", "required": True},
}


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={
            "objects": {"type": "list", "elements": "dict", "required": True},
            "secret": {"type": "dict", "options": SECRET},
            "manager": {"type": "str", "default": "antenna-nodes"},
            "kubectl": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    kubectl = [module.params["kubectl"], "--kubeconfig", "/etc/kubernetes/admin.conf"]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": module.params["objects"]})
    differs = _apply(module, kubectl, text)
    if secret := module.params["secret"]:
        differs += _apply(module, kubectl, _secret(module, kubectl, secret), what="secret")
    module.exit_json(changed=bool(differs), changes=[f"object {name}: differs" for name in differs])


def _secret(module: AnsibleModule, kubectl: list[str], secret: dict[str, Any]) -> str:
    """The Secret's manifest, made by kubectl from the files; never part of what the module answers."""
    files = [f"--from-file={name}={Path(secret['folder'], name)}" for name in secret["files"]]
    where = ["--namespace", secret["namespace"], "--dry-run=client", "--output=json"]
    return str(
        module.run_command(
            [*kubectl, "create", "secret", "generic", secret["name"], *files, *where], check_rc=True
        )[1]
    )


def _apply(module: AnsibleModule, kubectl: list[str], text: str, what: str = "") -> list[str]:
    """Apply what differs, and only look in check mode; the names of what differed."""
    flags = ["--server-side", "--force-conflicts", f"--field-manager={module.params['manager']}", "-f", "-"]
    code, out, err = module.run_command([*kubectl, "diff", *flags], data=text)
    if code > DIFFERS:
        module.fail_json(msg=f"kubectl diff{' of a ' + what if what else ''}: {(err or out).strip()[-800:]}")
    if code == DIFFERS and not module.check_mode:
        module.run_command([*kubectl, "apply", *flags], data=text, check_rc=True)
    return [line.rpartition("/")[2].split("\t")[0] for line in out.splitlines() if line.startswith("+++ ")]


if __name__ == "__main__":
    main()
