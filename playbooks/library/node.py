#!/usr/bin/python
"""What one machine has and runs: packages, files, kernel settings, firewall, routes, units."""

from __future__ import annotations

from ansible.module_utils import (
    node_files,
    node_firewall,
    node_packages,
    node_routes,
    node_sysctls,
    node_units,
)
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: node
short_description: Packages, files, kernel settings, firewall, routes and units of a machine
description:
  - Brings whole sets of things to what is declared, in the order below, in one go. What takes two connections
    a file with ansible.builtin.template takes one for everything.
  - The result names each difference, so that a check-mode run reads as a list of what has drifted.
options:
  packages:
    description: Debian packages; the package manager is only asked for those that are missing.
    type: list
    elements: str
    default: []
  files:
    description: The paths, each with one of content, block, link or directory.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: Absolute path., type: path, required: true}
      content: {description: The whole content of the file., type: str}
      block:
        description: Content of a marked block in a file that others write too; no block when empty.
        type: str
      link: {description: Target of a symbolic link., type: str}
      directory: {description: The path is a folder., type: bool, default: false}
      mode: {description: 'Octal mode; 0644 for files and 0755 for folders.', type: str}
      owner: {description: Name or number of the owner., type: str, default: root}
      group: {description: Name or number of the group; the owner's by default., type: str}
      validate: {description: 'Command that must accept the new content; %s is its path.', type: str}
  absent:
    description: Files and links that must not exist.
    type: list
    elements: path
    default: []
  sysctls:
    description: Settings of the running kernel, with dots as in sysctl(8).
    type: dict
    default: {}
  firewall:
    description: One nftables table, loaded anew when it is not what its file gave last time.
    type: dict
    suboptions:
      table: {description: Family and name of the table., type: str, required: true}
      rules: {description: The script that makes the table., type: path, required: true}
      language:
        description: Of the script; with iptables, the table is one of iptables' own.
        type: str
        choices: [nft, iptables]
        default: nft
      loaded: {description: Where the listing of the table as loaded is kept., type: path, required: true}
  routes:
    description: IPv4 routes. Ours carry a protocol number of their own; nobody else's are touched.
    type: list
    elements: dict
    suboptions:
      to: {description: Destination CIDR., type: str, required: true}
      via: {description: Gateway address., type: str, required: true}
  route_protocol:
    description: Protocol number that marks a route as ours (ip-route(8)); required with routes.
    type: int
  units:
    description:
      - systemd units. One is restarted when a file of its was written after it started; a handler would
        forget the restart when a run is killed between the two.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Unit name with its suffix., type: str, required: true}
      state:
        description: Whether it runs, now and after a boot. A stopped unit may be missing.
        type: str
        choices: [started, stopped]
        default: started
      files: {description: Files that it reads when it starts., type: list, elements: path, default: []}
"""

EXAMPLES = r"""
- name: Run containerd
  node:
    files:
      - path: /etc/containerd/config.toml
        content: "{{ lookup('ansible.builtin.template', 'config.toml.j2') }}"
    units:
      - {name: containerd.service, files: [/etc/containerd/config.toml]}
"""

RETURN = r"""
changes:
  description: One line a difference.
  type: list
  elements: str
  returned: always
"""


def main() -> None:
    """Module entry point."""
    rows = {"type": "list", "elements": "dict"}
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "str", "default": []},
            "files": rows | {"default": [], "options": node_files.OPTIONS},
            "absent": {"type": "list", "elements": "path", "default": []},
            "sysctls": {"type": "dict", "default": {}},
            "firewall": {"type": "dict", "options": node_firewall.OPTIONS},
            "routes": rows | {"options": node_routes.OPTIONS},
            "route_protocol": {"type": "int"},
            "units": rows | {"default": [], "options": node_units.OPTIONS},
        },
        required_by={"routes": "route_protocol"},
        supports_check_mode=True,
    )
    params = module.params
    changes: list[str] = []
    if params["packages"]:
        changes += node_packages.mend_packages(module, params["packages"])
    changes += node_files.mend_files(module, params["files"])
    changes += node_files.remove_files(module, params["absent"])
    changes += node_sysctls.mend_sysctls(module, params["sysctls"])
    if params["firewall"]:
        changes += node_firewall.mend_firewall(module, **params["firewall"])
    if params["routes"] is not None:
        changes += node_routes.mend_routes(module, params["routes"], params["route_protocol"])
    if params["units"]:
        changes += node_units.mend_units(module, params["units"])
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()
