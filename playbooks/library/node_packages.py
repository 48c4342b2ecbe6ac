#!/usr/bin/python
"""Debian packages of one machine; asks the package manager only for what is missing."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: node_packages
short_description: Debian packages, installed when missing
description:
  - Looks into dpkg's own database first, so that a machine without a way to a package mirror is fine as long
    as it has what is declared. Needs nothing but dpkg and apt-get.
options:
  names:
    description: Package names.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Have nftables
  node_packages:
    names: [nftables]
"""

RETURN = r"""
changes:
  description: One line a missing package.
  type: list
  elements: str
  returned: always
"""

INSTALL = ["apt-get", "install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]


def installed(status: str) -> set[str]:
    """Names of installed packages in the output of dpkg-query."""
    rows = (line.split("\t") for line in status.splitlines())
    return {name for name, state in rows if state.startswith("install ok installed")}


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={"names": {"type": "list", "elements": "str", "required": True}},
        supports_check_mode=True,
    )
    names = module.params["names"]
    _, out, _ = module.run_command(["dpkg-query", "-W", "-f", r"${Package}\t${Status}\n", *names])
    missing = sorted(set(names) - installed(out))
    if missing and not module.check_mode:
        module.run_command_environ_update = {"DEBIAN_FRONTEND": "noninteractive"}
        module.run_command(["apt-get", "update"])
        code, out, err = module.run_command([*INSTALL, *missing])
        if code:
            module.fail_json(
                msg=f"packages {', '.join(missing)} are missing and apt-get cannot install them: "
                f"{(err or out).strip()[-500:]}"
            )
    module.exit_json(changed=bool(missing), changes=[f"package {name}: missing" for name in missing])


if __name__ == "__main__":
    main()
