#!/usr/bin/python
"""A bootstrap token for a machine that joins, from the head."""

from __future__ import annotations

import os
import time

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: kubeadm_token
short_description: A bootstrap token of the head's cluster
description:
  - Waits until the control plane answers, then makes a token.
options:
  kubeadm: {description: The kubeadm program., type: path, required: true}
  kubectl: {description: The kubectl program., type: path, required: true}
  lifetime: {description: How long the token lives., type: str, default: 15m}
  timeout: {description: Seconds to wait for the control plane., type: int, default: 300}
"""

EXAMPLES = r"""
- name: Get a token
  kubeadm_token:
    kubeadm: /opt/antenna/artifacts/bin/kubeadm
    kubectl: /opt/antenna/artifacts/bin/kubectl
  delegate_to: head
"""

RETURN = r"""
token: {description: The token., type: str, returned: success}
ca_certificate: {description: The cluster's authority (PEM)., type: str, returned: success}
"""

ADMIN_CONF = "/etc/kubernetes/admin.conf"
RECORD = "/var/lib/antenna/kubeadm.json"
FAILED = "/run/antenna-kubeadm.failed"


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={
            "kubeadm": {"type": "path", "required": True},
            "kubectl": {"type": "path", "required": True},
            "lifetime": {"type": "str", "default": "15m"},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, token="", ca_certificate="")
    kubectl = [module.params["kubectl"], "--kubeconfig", ADMIN_CONF, "--request-timeout=3s"]
    ready = [*kubectl, "get", "--raw=/readyz"]
    deadline = time.monotonic() + module.params["timeout"]
    # The record says that init got to its end, where the rights of bootstrap tokens are in place.
    while not (os.path.exists(RECORD) and module.run_command(ready)[0] == 0):
        if os.path.exists(FAILED):
            module.fail_json(msg="the control plane could not be made")
        if time.monotonic() > deadline:
            module.fail_json(msg=f"the control plane did not answer within {module.params['timeout']} s")
        time.sleep(0.5)
    create = [module.params["kubeadm"], "token", "create", "--kubeconfig", ADMIN_CONF]
    _, out, _ = module.run_command([*create, "--ttl", module.params["lifetime"]], check_rc=True)
    with open("/etc/kubernetes/pki/ca.crt", encoding="ascii") as file:
        module.exit_json(changed=False, token=out.strip(), ca_certificate=file.read())


if __name__ == "__main__":
    main()
