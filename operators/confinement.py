"""Where the operator's writes are allowed at all: in partners' namespaces. Pure.

RBAC cannot say "in namespaces whose name begins with tenant-"; an admission policy can. With it the
operator's right to make Roles and bindings ends at partners' doors, whatever becomes of the operator:
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from typing import Final

from operators.api import GROUP
from operators.tenancy import Object, namespace_name

_API_VERSION: Final = "admissionregistration.k8s.io/v1"
_CONFINED: Final = (
    ("", ["namespaces", "resourcequotas", "limitranges"]),
    ("rbac.authorization.k8s.io", ["roles", "rolebindings"]),
    ("kueue.x-k8s.io", ["localqueues", "workloads", "workloads/status"]),
    (GROUP, ["remotejobs", "remotejobs/status"]),
)


def confinement(name: str, user: str) -> list[Object]:
    """The policy that confines ``user``, and its binding; both are called ``name``."""
    place = "(request.resource.resource == 'namespaces' ? request.name : request.namespace)"
    prefix = namespace_name("")
    return [
        {
            "apiVersion": _API_VERSION,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConditions": [{"name": "user", "expression": f"request.userInfo.username == '{user}'"}],
                "matchConstraints": {
                    "resourceRules": [
                        {
                            "apiGroups": [group],
                            "apiVersions": ["*"],
                            "operations": ["CREATE", "UPDATE", "DELETE"],
                            "resources": resources,
                        }
                        for group, resources in _CONFINED
                    ]
                },
                "validations": [
                    {
                        "expression": f"{place}.startsWith('{prefix}')",
                        "message": f"{user} writes in namespaces {prefix}* only",
                    }
                ],
            },
        },
        {
            "apiVersion": _API_VERSION,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    ]
