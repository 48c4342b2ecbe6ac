#!/usr/bin/python
"""Kubernetes objects that nodes themselves depend on, applied from the head."""

from __future__ import annotations

import json

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: cluster_objects
short_description: Server-side apply of a few objects with the head's own credentials
description:
  - For what must be there before anything outside the machines can reach the cluster. A difference is found
    by "kubectl diff", which asks the API server itself.
options:
  objects: {description: The objects., type: list, elements: dict, required: true}
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


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={
            "objects": {"type": "list", "elements": "dict", "required": True},
            "manager": {"type": "str", "default": "antenna-nodes"},
            "kubectl": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    kubectl = [module.params["kubectl"], "--kubeconfig", "/etc/kubernetes/admin.conf"]
    flags = ["--server-side", "--force-conflicts", f"--field-manager={module.params['manager']}", "-f", "-"]
    objects = module.params["objects"]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    code, out, err = module.run_command([*kubectl, "diff", *flags], data=text)
    if code > DIFFERS:
        module.fail_json(msg=f"kubectl diff: {(err or out).strip()[-800:]}")
    differs = [line.rpartition("/")[2].split("\t")[0] for line in out.splitlines() if line.startswith("+++ ")]
    if code == DIFFERS and not module.check_mode:
        module.run_command([*kubectl, "apply", *flags], data=text, check_rc=True)
    module.exit_json(changed=code == DIFFERS, changes=[f"object {name}: differs" for name in differs])


if __name__ == "__main__":
    main()
