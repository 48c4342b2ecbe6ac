"""What a job costs at a remote site, by the rules that the site publishes. Pure and exact: no floats.

Every rule is a rate: units an hour for as long as the resources are held. So the cost of a part of a job's
time is that part of its cost, and sums over days or months lose nothing.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from operators.sites.access import Resources
from operators.sites.model import Billing, Cores, LargestShare, Partition, WholeNodes

HOUR: Final = 3600
"""Seconds."""
TERABYTE: Final = 10**12
"""Bytes."""
_MIB_PER_GIB: Final = 1024


def rate(rule: Billing, resources: Resources) -> Fraction:
    """What holding ``resources`` (those of all nodes together) costs, in the rule's unit an hour.

    - ``WholeNodes``: per_node_hour x nodes. LUMI standard-g: 4 GPU-hours a node-hour, standard: 128
      CPU-core-hours; https://docs.lumi-supercomputer.eu/runjobs/lumi_env/billing/. JUPITER booster: 288
      core-hours, as JSC charges "for complete nodes, regardless of the number of CPUs used";
      https://apps.fz-juelich.de/jsc/hps/jureca/accounting.html.
    - ``LargestShare``: factor x max(ceil(cores / cores_per_slot), ceil(memory / memory_gib_per_slot), GPUs).
      LUMI small-g and dev-g: 0.5 x max(ceil(CPU-cores / 8), ceil(memory / 64 GB), GCDs); small:
      max(CPU-cores, ceil(memory / 2 GB)); LUMI's page. Its GB are Slurm's: 64G is 65536 MiB.
    - ``Cores``: CPU-cores allocated; LUMI's page, "CPU billing".
    """
    match rule:
        case WholeNodes():
            return rule.per_node_hour * resources.nodes
        case LargestShare():
            slots = max(
                _ceil(resources.cores, rule.cores_per_slot),
                _ceil(resources.memory_mib, rule.memory_gib_per_slot * _MIB_PER_GIB),
                resources.gpus,
            )
            return rule.factor * slots
        case Cores():
            return Fraction(resources.cores)


def billed(rule: Billing, resources: Resources, seconds: int) -> Fraction:
    """What ``resources``, held for so long, cost in the rule's unit; the formulas are ``rate``'s."""
    return rate(rule, resources) * seconds / HOUR


def asked(
    partition: Partition, *, nodes: int, gpus_per_node: int = 0, cores: int = 0, memory_mib: int = 0
) -> Resources:
    """What a job that asks for this is given at least; ``cores`` and ``memory_mib`` of all nodes together.

    Of a partition of whole nodes it gets whole nodes. Elsewhere a task has at least one core, so every node
    at least one; no memory named is the site's default, which goes with the cores and GPUs and costs nothing
    beside them.
    """
    if not partition.whole_nodes:
        return Resources(nodes, max(cores, nodes), gpus_per_node * nodes, memory_mib)
    return Resources(
        nodes,
        (partition.cores_per_node or 0) * nodes or cores,
        partition.gpus_per_node * nodes,
        (partition.memory_gib_per_node or 0) * _MIB_PER_GIB * nodes or memory_mib,
    )


def estimate(
    partition: Partition,
    *,
    nodes: int,
    seconds: int,
    gpus_per_node: int = 0,
    cores: int = 0,
    memory_mib: int = 0,
) -> Fraction:
    """The most that a job can cost, in the partition's unit: what it asks for, up to its time limit.

    ``seconds`` is that limit; ``cores`` and ``memory_mib`` are of all nodes together, as in ``Resources``,
    and 0 is the site's default.
    """
    held = asked(partition, nodes=nodes, gpus_per_node=gpus_per_node, cores=cores, memory_mib=memory_mib)
    return billed(partition.billing, held, seconds)


def stored(factor: Fraction, size: int, seconds: int) -> Fraction:
    """What ``size`` bytes, kept for so long, cost in TB-hours: factor x TB x hours.

    LUMI-P 1, LUMI-F 10, LUMI-O 0.5: https://docs.lumi-supercomputer.eu/runjobs/lumi_env/billing/, "Storage
    billing". A TB is 10^12 bytes.
    """
    return factor * size / TERABYTE * seconds / HOUR


def kilowatts(partition: Partition, resources: Resources) -> Fraction | None:
    """Mean power of the GPUs that ``resources`` hold; None where no average was published.

    Scheduler GPUs x kwh_per_gpu_hour. LUMI: 4.46 MJ a GPU-node-hour, a published weekly average, is
    1.24 kWh for 8 GCDs, so 0.155 kWh a GCD-hour. Of whole nodes all GPUs count, whatever was asked for.
    """
    if partition.kwh_per_gpu_hour is None:
        return None
    gpus = partition.gpus_per_node * resources.nodes if partition.whole_nodes else resources.gpus
    return partition.kwh_per_gpu_hour * gpus


def energy(partition: Partition, resources: Resources, seconds: int) -> Fraction | None:
    """Energy in kWh: ``kilowatts`` for so long; None where no average was published."""
    power = kilowatts(partition, resources)
    return None if power is None else power * seconds / HOUR


def _ceil(amount: int, slot: int) -> int:
    return -(-amount // slot)
