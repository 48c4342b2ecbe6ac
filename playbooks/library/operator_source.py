#!/usr/bin/python
"""The mark on the operator's packets, by which the tunnels know them."""

from __future__ import annotations

import json
import os

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: operator_source
short_description: The set of the operator's addresses is as the container runtime made them
description:
  - The CNI plugin keeps it; this brings back what somebody changed, and what a pod that was there before the
    plugin lacks.
options:
  program: {description: The plugin., type: path, required: true}
"""

EXAMPLES = r"""
- name: Mark the operator's packets
  operator_source:
    program: /usr/lib/cni/antenna-source
"""

RETURN = r"""
changes: {description: One line a difference., type: list, elements: str, returned: always}
"""


def main() -> None:
    """Module entry point."""
    module = AnsibleModule(
        argument_spec={"program": {"type": "path", "required": True}}, supports_check_mode=True
    )
    program = module.params["program"]
    if not os.path.exists(program):
        module.exit_json(changed=True, changes=[f"{program}: missing"])
    _, out, _ = module.run_command([program, "--look" if module.check_mode else "--sync"], check_rc=True)
    changes = json.loads(out)
    module.exit_json(changed=bool(changes), changes=changes)


if __name__ == "__main__":
    main()
