"""The catalog as a page for people: docs/metrics.md, written by ``python -m operators.catalog``. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from operators.catalog import FAMILIES, Family
from operators.histogram import SCHEMA
from operators.reasons import PENDING_REASONS

PROTOBUF: Final = (
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)
COMMAND: Final = "python -m operators.catalog_page > docs/metrics.md"

_SECTIONS: Final = (
    ("Queues", ("antenna_queue_",)),
    ("Jobs, a series each", ("antenna_job_",)),
    ("Jobs, summed up", ("antenna_job", "antenna_gpu_seconds")),
    ("Nodes and GPUs", ("antenna_node_", "antenna_gpus_")),
    ("Partners", ("antenna_tenant_",)),
    ("Budgets", ("antenna_budget_", "antenna_billed_")),
    ("The ledger", ("antenna_ledger_",)),
    ("Remote sites", ("antenna_remote_",)),
    ("The operator itself", ("antenna_operator_",)),
)

_HEAD: Final = """\
<!-- Generated from operators/catalog.py; do not edit. Again: {command} -->

# Metrics

What the operator shows on `/metrics`. Families marked *each* have one series an object (a Job, a node)
and can be left out by name (`--without FAMILY`); no other family depends on them.

## Labels

They mean the same everywhere. Whose work is, is read off labels that the platform puts on the partner's
namespace and queue, never off what a user writes on a Job.

| label | meaning |
|---|---|
| `site` | where the work runs: `local` for this cluster, else the remote site's name |
| `queue` | the ClusterQueue, at a remote site the partition; empty for work whose LocalQueue does not exist |
| `tenant`, `ecosystem`, `sector` | whose it is; `sector` is the first of the partner's |
| `state` | `pending`, `running`, `succeeded`, `failed`, `cancelled` |
| `outcome` | `succeeded`, `failed`, `cancelled`; `unknown` of a job that went unseen, see below |
| `flavor` | the Kueue ResourceFlavor |
| `model` | the node's label `nvidia.com/gpu.product` |
| `reason` | one of a known set, below |
| `unit` | what the site bills in: `gpu-hours`, `core-hours`, `tb-hours`; local work is in `gpu-hours` |
| `source` | what a remote site was asked: `queue`, `accounting`, `nodes`, `granted` (its own figures) |
| `node_state` | the remote scheduler's word for nodes: `idle`, `allocated`, `down`, `not_responding`, ... |

## Formats

The header `Accept` chooses; each form is compressed with gzip where `Accept-Encoding` has it.

| asked for | given | a histogram is |
|---|---|---|
| `{protobuf}` | Prometheus' protobuf | classic buckets, and a native histogram of schema {schema} |
| `application/openmetrics-text` | OpenMetrics 1.0 | classic buckets |
| anything else | Prometheus' text 0.0.4 | classic buckets |

Both shapes count the same observations and are made from the ledger at each start. Prometheus asks for
protobuf where its job has `scrape_native_histograms: true`, and then keeps the classic buckets too with
`always_scrape_classic_histograms: true`. VictoriaMetrics asks for text, which has no native histograms.

## How figures are made

- **State.** `succeeded`, `failed`: the Job's condition Complete or Failed. `cancelled`: it is being deleted
  and had not ended. `pending`: it is suspended (it waits for quota, or was put back), or it is admitted and
  no pod of it is ready or has ended yet. `running`: otherwise.
- **Why work waits.** Before admission the Workload's conditions tell, after it its pods: {reasons}.
- **Requested** is what unfinished Workloads of the queue ask for, pending or admitted; **reserved** what they
  hold quota for, less what pods that have ended gave back; **borrowed** is max(0, reserved - quota).
- **Wait**: first admission - creation. **Run**: end - last admission, counted once Kueue has declared the
  Workload finished, or it is gone. The end of a cancelled job is that of its Workload: when Kueue found its
  Job gone, or when its deletion began.
- **GPU-seconds**: GPUs x (Workload.status.accumulatedPastExecutionTimeSeconds + (end, or now) - last
  admission). Of running Jobs they are counted up to 2 s ago: a Job's end is stamped in whole seconds and
  arrives a moment later, and a counter must not go back.
- **Restarts** are pods of a Job that failed. **Evictions** are Kueue's count, by its reason; preemptions are
  those with the reason Preempted.
- **Counters and histograms** are sums over the ledger: a row a job, kept after the job is gone. A job is
  counted once, under the partner that it belonged to then. What is shown is on disk, so that nothing goes
  back when the operator is restarted.
- **Remote work** is in the families of local work with the remote site's name and partition. GPUs are those
  that jobs were given (AllocTRES). A job that runs is counted until the site last said so.
- **Budgets**: `remaining` is allocated - used - reserved. Where a site's budgets run by month, the grant is
  divided evenly over its months, and the rest of a month is added to as many months as the site says.
  Exhaustion is now + (allocated - used) / burn. Units follow the rules that the sites publish
  ([billing.py](../operators/usage/billing.py)); the energy of remote work is its GPUs times a published
  average.
- **Stale is not zero.** Past `antenna_remote_source_limit_seconds` the series of a source are not shown, and
  its age is.

## While no operator runs

The API server remembers what changed, for 75 s at least and longer where little does. An operator that
begins is told first what has changed since the last one's end, Jobs and Workloads in their one order, and
counts it as if it had looked on: its counters and histograms are those of an operator that never ended.
They show once that is done, up to 3 s after the gauges. Of a longer gap, or after the API server itself was
restarted, this is known, and no more:

- Of a job that is there: its outcome, run, restarts, evictions and GPU-seconds. GPU-seconds lack what Kueue
  forgot in the gap: the time of a Workload that was switched off, or that was replaced. The wait of a job
  that was put back before anybody saw it admitted is taken to be its last admission - creation, less
  the time for which it was admitted before; that is at least as long as it was.
- A job of the ledger that is not there any longer keeps the outcome that it was last known to have. One that
  had not ended counts as `unknown`, with its GPU-seconds up to when it was last seen, and without a run.
- A job that came and went unseen, or that went before it was ever admitted, is not counted.

The same holds of a watch that the API server breaks off with 410 Gone while the operator runs.
"""


def page() -> str:
    """The whole page, in Markdown."""
    reasons = ", ".join(f"`{reason.value}`" for reason in PENDING_REASONS)
    head = _HEAD.replace("{reasons}", reasons).replace("{command}", COMMAND)
    parts = [head.replace("{protobuf}", PROTOBUF).replace("{schema}", str(SCHEMA))]
    left = list(FAMILIES)
    for title, prefixes in _SECTIONS:
        each = title.endswith("each")
        rows = [
            family for family in left if family.name.startswith(prefixes) and (family.per_object or not each)
        ]
        left = [family for family in left if family not in rows]
        parts.append(_section(title, rows))
    if left:
        raise ValueError(f"no section of the page takes {left[0].name}")
    return "\n".join(parts)


def _section(title: str, rows: Iterable[Family]) -> str:
    lines = [f"## {title}", "", "| family | type | labels | meaning |", "|---|---|---|---|"]
    for family in rows:
        kind = f"{family.type}, each" if family.per_object else family.type
        labels = ", ".join(f"`{label}`" for label in family.labels) or "none"
        stable = "" if family.stability == "alpha" else f" ({family.stability})"
        lines.append(f"| `{family.name}` | {kind} | {labels} | {family.help}{stable} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
