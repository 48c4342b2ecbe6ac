"""Debian packages of one machine; asks the package manager only for what is missing."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

INSTALL = ["apt-get", "install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]


def installed(status: str) -> set[str]:
    """Names of installed packages in the output of dpkg-query."""
    rows = (line.split("\t") for line in status.splitlines())
    return {name for name, state in rows if state.startswith("install ok installed")}


def mend_packages(module: AnsibleModule, names: list[str]) -> list[str]:
    """Install the Debian packages that are missing; a line for each.

    Looks into dpkg's own database first: a machine without a way to a mirror is fine if it has them all.
    """
    _, out, _ = module.run_command(["dpkg-query", "-W", "-f", r"${Package}\t${Status}\n", *names])
    missing = sorted(set(names) - installed(out))
    if missing and not module.check_mode:
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        module.run_command(["apt-get", "update"], environ_update=quiet)
        code, out, err = module.run_command([*INSTALL, *missing], environ_update=quiet)
        if code:
            module.fail_json(
                msg=f"packages {', '.join(missing)} are missing and apt-get cannot install them: "
                f"{(err or out).strip()[-500:]}"
            )
    return [f"package {name}: missing" for name in missing]
