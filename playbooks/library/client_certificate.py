#!/usr/bin/python
"""A client certificate of the cluster's authority, for a key that this machine never sees."""

from __future__ import annotations

import base64
import json
import time

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: client_certificate
short_description: Sign a request for a client certificate through the Kubernetes API
description:
  - Runs on the head. Files a CertificateSigningRequest, approves it and returns the certificate.
options:
  name: {description: Name of the request., type: str, required: true}
  request: {description: The request (PEM)., type: str, required: true}
  lifetime: {description: Seconds that the certificate is valid., type: int, default: 31536000}
  kubectl: {description: The kubectl program., type: path, required: true}
"""

EXAMPLES = r"""
- name: Sign the operator's request
  client_certificate:
    name: antenna-operator
    request: "{{ request }}"
    kubectl: /opt/antenna/artifacts/bin/kubectl
"""

RETURN = r"""
certificate: {description: The certificate (PEM)., type: str, returned: success}
"""

TIMEOUT = 30


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "request": {"type": "str", "required": True},
            "lifetime": {"type": "int", "default": 31536000},
            "kubectl": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    name = module.params["name"]
    if module.check_mode:
        module.exit_json(changed=True, certificate="")
    kubectl = [module.params["kubectl"], "--kubeconfig", "/etc/kubernetes/admin.conf"]
    wanted = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": base64.b64encode(module.params["request"].encode()).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "expirationSeconds": module.params["lifetime"],
            "usages": ["digital signature", "key encipherment", "client auth"],
        },
    }
    # A request is immutable: one left by a cut run may be for another key.
    module.run_command([*kubectl, "delete", "--ignore-not-found", "csr", name], check_rc=True)
    module.run_command([*kubectl, "create", "-f", "-"], data=json.dumps(wanted), check_rc=True)
    module.run_command([*kubectl, "certificate", "approve", name], check_rc=True)
    deadline = time.monotonic() + TIMEOUT
    certificate = ""
    while not certificate:
        if time.monotonic() > deadline:
            module.fail_json(msg=f"the controller manager did not sign {name} within {TIMEOUT} s")
        query = [*kubectl, "get", "csr", name, "--output=jsonpath={.status.certificate}"]
        certificate = module.run_command(query, check_rc=True)[1]
        time.sleep(0.2)
    module.run_command([*kubectl, "delete", "csr", name])
    module.exit_json(changed=True, certificate=base64.b64decode(certificate).decode())


if __name__ == "__main__":
    main()
