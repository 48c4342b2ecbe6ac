"""The table of flags as a page: docs/security-cis.md, by ``python -m infra.control_plane_page``. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from infra.control_plane import STATIC_PODS, Flag, Table, table

COMMAND: Final = "python -m infra.control_plane_page > docs/security-cis.md"

_HEAD: Final = """\
<!-- Generated from playbooks/roles/kubernetes/files/control_plane.yml; do not edit. Again: {command} -->

# The control plane's flags

One table says how the API server, the controller manager, the scheduler, etcd and the kubelets are started.
The role `kubernetes` applies it: to a new head with kubeadm, to one that runs in place, one component after
the other, each waited for and put back where it does not come up. No data and no certificate is touched.
`antenna doctor` reads the flags back as they run (row `control-plane`); `antenna refresh` compares the
manifests on the head and names what differs.

Points are those of the {benchmark}.
"""

_TAIL: Final = """\

## How it is kept

- **Audit log.** `/var/log/kubernetes/audit/audit.log` on the head, root's alone; files of 100 MB, fifty of
  them, compressed, 30 days. Of every request who, what and when; of changes to rights (RBAC) and Tenants the
  change too; of a Secret never more than its name. What the cluster's own parts read, their leases and events
  are left out, so that people's requests stay.
- **Secrets in etcd** are encrypted (secretbox) with a key that is made on the head and is in one file
  there, `/etc/kubernetes/encryption/config.yaml`, 0600. **Keep a copy of it with the backups of etcd, and
  apart from them:** without it they cannot be read. A key of 90 days gets a successor: `antenna refresh`
  names it, `antenna up --refresh` does it. The new key comes first, all Secrets are written anew, the old
  one goes. To have it now: `touch /etc/kubernetes/encryption/rotate` on the head, then
  `antenna up --refresh`. Of a site that was made before Secrets were encrypted etcd's database forgets the
  plain text at once, its log of writes (`/var/lib/etcd/member/wal`) only with its age: give remote sites'
  keys and the ledger's password anew there.
- **Kubelets' certificates.** Each kubelet asks the cluster for its certificate as a server and renews it.
  The head approves a request that comes from a declared node and names it and its declared address and
  nothing else (`antenna-kubelet-certificates.timer`, with credentials that may do only this and end within
  the hour).
- **Administrators' certificates** are good for 14 days: `admin.conf` on the head and the kubeconfig on this
  host, which bears the name of the person who ran `antenna up`. Each `up` renews them in time.
  `super-admin.conf` goes once the cluster is made.
- **The head is no worker**: taint `node-role.kubernetes.io/control-plane:NoSchedule`, read back by `antenna
  refresh`. The operator, monitoring, Kueue and CoreDNS tolerate it.
- **Nothing is lost on the way.** A control plane that holds data is never reset by `up`; where its record
  is lost and it does not answer, `antenna up --reset-control-plane MACHINE` is how a person says so.
  `antenna down` leaves the ledger on machines that were adopted, unless told `--forget-ledger`.
- **No token lasts for ever**: Secrets of type `kubernetes.io/service-account-token` are refused. A partner's
  Job that does not ask for a token of its service account is given none.
"""


def page(rows: Table) -> str:
    """The whole page."""
    return "\n".join(
        [
            _HEAD.format(command=COMMAND, benchmark=rows.benchmark),
            "| flag | value | set by | points | why |",
            "|---|---|---|---|---|",
            *(_row(row) for row in rows.flags),
            "",
            "## Files",
            "",
            "Root's alone to write; their modes at most:",
            "",
            "| path | mode | points |",
            "|---|---|---|",
            *(f"| `{row.path}` | {row.mode} | {', '.join(row.cis)} |" for row in rows.files),
            "",
            "## Accepted deviations",
            "",
            "| point | it asks that | why it is not so here |",
            "|---|---|---|",
            *(f"| {row.cis} | {row.title} | {row.why} |" for row in rows.deviations),
            _TAIL.rstrip(),
        ]
    )


def _row(row: Flag) -> str:
    dashes = "--" if row.component in STATIC_PODS else ""
    points = ", ".join(row.cis)
    name = f"{row.component} `{dashes}{row.flag}`"
    return f"| {name} | {_value(row.value)} | {row.set_by} | {points} | {row.why} |"


def _value(value: Any) -> str:
    if value is None:
        return "not set"
    return ", ".join(f"`{part}`" for part in _parts(value))


def _parts(value: Any, prefix: str = "") -> Iterator[str]:
    """A value in pieces short enough for a table."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _parts(inner, f"{prefix}{key}.")
    elif isinstance(value, list):
        yield from map(str, value)
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        label = f"{prefix.rstrip('.')}=" if prefix else ""
        yield from (f"{label}{part}" for part in text.split(","))


if __name__ == "__main__":
    print(page(table()))
