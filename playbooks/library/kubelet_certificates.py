#!/usr/bin/python
"""Every declared node's kubelet shows a certificate of the cluster."""

from __future__ import annotations

import json
import os

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: kubelet_certificates
short_description: Approve kubelets' requests for serving certificates, and see them used
description:
  - Runs on the head the program that its timer runs too, which approves requests that name a declared node
    and its address alone. Waits until every node shows its certificate.
options:
  program: {description: The program., type: path, required: true}
  timeout: {description: Seconds for all nodes., type: int, default: 120}
"""

EXAMPLES = r"""
- name: Give the kubelets certificates
  kubelet_certificates:
    program: /usr/local/lib/antenna/kubelet_certificates.py
"""

RETURN = r"""
changes: {description: One line a node without one., type: list, elements: str, returned: always}
"""


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={
            "program": {"type": "path", "required": True},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    program = module.params["program"]
    if not os.path.exists(program):
        module.exit_json(changed=True, changes=[f"{program}: missing"])
    look = ["/usr/bin/python3", program, "--look"]
    before = json.loads(module.run_command(look)[1] or '{"missing": ["no node could be asked"]}')["missing"]
    if before and not module.check_mode:
        code, out, err = module.run_command(
            ["/usr/bin/python3", program, "--wait", str(module.params["timeout"])]
        )
        if code:
            told = json.loads(out) if out.startswith("{") else {"missing": before, "refused": []}
            why = "; ".join(told["refused"]) or err.strip()[-300:] or "their kubelets asked for none"
            module.fail_json(
                msg=f"no serving certificate on {', '.join(told['missing'])} "
                f"after {module.params['timeout']} s: {why}"
            )
    changes = [f"kubelet of {name}: no certificate of the cluster" for name in before]
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()
