#!/usr/bin/python
"""The head's own credentials as an administrator: of days, and no stronger ones beside them."""

from __future__ import annotations

import base64
import datetime
import json
import os
import re
import tempfile

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: kubeadm_admin
short_description: admin.conf with a certificate of days; super-admin.conf goes
description:
  - A certificate cannot be taken back, so its age is bounded. It is made anew from the authority's key,
    which is on the head, with or without an API server.
  - super-admin.conf is above the cluster's rules (system:masters). kubeadm needs it while it makes the
    cluster.
options:
  kubeadm: {description: The kubeadm program., type: path, required: true}
  config: {description: "kubeadm's configuration, v1beta4.", type: list, elements: dict, required: true}
  days: {description: Days that the certificate is good for., type: int, default: 14}
"""

EXAMPLES = r"""
- name: Keep the head's credentials young
  kubeadm_admin:
    kubeadm: /opt/antenna/artifacts/bin/kubeadm
    config: "{{ kubernetes_init_config }}"
"""

RETURN = r"""
changes: {description: One line a difference., type: list, elements: str, returned: always}
"""

ADMIN, SUPER = "/etc/kubernetes/admin.conf", "/etc/kubernetes/super-admin.conf"
USER, GROUP = "kubernetes-admin", "kubeadm:cluster-admins"
LEAST, LEAST_BEFORE_TOLD = 0.75, 0.5
"""Share of its days that a certificate must have left. A run makes it anew long before a person is told
of it, so that it outlasts the administrator's, whose end makes the next run."""
DATE = "%b %d %H:%M:%S %Y GMT"


def dates(module: AnsibleModule) -> tuple[datetime.datetime, datetime.datetime] | None:
    """From when to when the certificate in admin.conf is good; None when it cannot be read."""
    with open(ADMIN, encoding="utf-8") as file:
        found = re.search(r"client-certificate-data: (\S+)", file.read())
    if not found:
        return None
    pem = base64.b64decode(found[1])
    code, out, _ = module.run_command(
        ["openssl", "x509", "-noout", "-startdate", "-enddate"], data=pem, binary_data=True
    )
    told = dict(line.split("=", 1) for line in str(out).splitlines() if "=" in line)
    if code or not {"notBefore", "notAfter"} <= told.keys():
        return None
    begin, end = (datetime.datetime.strptime(told[key], DATE) for key in ("notBefore", "notAfter"))
    return begin, end


def fault(
    span: tuple[datetime.datetime, datetime.datetime] | None,
    now: datetime.datetime,
    days: int,
    least: float,
) -> str:
    """What is wrong with the certificate's dates; empty when nothing is. Pure.

    ``least`` is the share of its days that must be left.
    """
    if span is None:
        return "not readable"
    begin, end = span
    # Certificates begin a little before they are made.
    if end - begin > datetime.timedelta(days=days, hours=1):
        return f"good for {(end - begin).days} days, declared {days}"
    if end - now < datetime.timedelta(days=days) * least:
        return f"ends in {(end - now).days} days"
    return ""


def renew(module: AnsibleModule) -> None:
    """Make the certificate anew, with the kubeconfig around it."""
    descriptor, config = tempfile.mkstemp(prefix="antenna-kubeadm-", dir="/run")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("\n---\n".join(json.dumps(document) for document in module.params["config"]))
        command = [module.params["kubeadm"], "kubeconfig", "user", "--config", config]
        command += ["--client-name", USER, "--org", GROUP]
        command += ["--validity-period", f"{24 * module.params['days']}h"]
        code, out, err = module.run_command(command)
    finally:
        os.unlink(config)
    if code or "client-key-data" not in out:
        module.fail_json(msg=f"kubeadm kubeconfig user: {str(err).strip()[-400:]}")
    descriptor, temporary = tempfile.mkstemp(prefix=".antenna-", dir=os.path.dirname(ADMIN))
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(out)
    os.replace(temporary, ADMIN)


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={
            "kubeadm": {"type": "path", "required": True},
            "config": {"type": "list", "elements": "dict", "required": True},
            "days": {"type": "int", "default": 14},
        },
        supports_check_mode=True,
    )
    changes = []
    if os.path.exists(ADMIN):
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)  # noqa: UP017
        least = LEAST_BEFORE_TOLD if module.check_mode else LEAST
        if wrong := fault(dates(module), now, module.params["days"], least):
            changes.append(f"{ADMIN}: {wrong}")
            if not module.check_mode:
                renew(module)
    if os.path.exists(SUPER):
        changes.append(f"{SUPER}: present, declared absent")
        if not module.check_mode:
            os.unlink(SUPER)
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()
