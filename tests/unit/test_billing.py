"""What jobs cost: worked examples of the rules that LUMI and JUPITER publish, each reckoned by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest

from operators.sites.access import Resources
from operators.sites.model import LargestShare, Partition
from operators.usage.billing import asked, billed, energy, estimate, stored
from tests.unit.remote_sites import JUPITER, LUMI, STORAGE

GIB = 1024  # MiB
TB = 10**12
H = 3600
DAY = 24 * H
DOCS = "docs.lumi-supercomputer.eu/runjobs/lumi_env/billing, "
JSC = "apps.fz-juelich.de/jsc/hps, accounting: wall-clock time of complete nodes, of 4 x 72 cores"

EXAMPLES = [
    # (site, partition, nodes, cores, GPUs, memory in GiB, seconds, units by hand, source)
    # GPU-hours. One MI250X for an hour; 4 a node.
    (LUMI, "standard-g", 4, 224, 32, 1920, DAY, 384, DOCS + "standard-g: 4 x 4 nodes x 24 h = 384"),
    (LUMI, "standard-g", 1, 1, 1, 1, H, 4, DOCS + "standard-g: a node-hour is 4, though 1 GCD was asked for"),
    (LUMI, "standard-g", 1, 56, 8, 480, 1, Fraction(1, 900), DOCS + "4 x 1 s: 4/3600"),
    (LUMI, "standard-g", 1024, 57344, 8192, 491520, 2 * DAY, 196608, DOCS + "4 x 1024 nodes x 48 h"),
    (LUMI, "small-g", 1, 2, 2, 16, DAY, 24, DOCS + "small-g: 2 GCDs x 24 h x 0.5 = 24"),
    (LUMI, "small-g", 1, 1, 1, 128, DAY, 24, DOCS + "small-g: ceil(128 / 64) x 24 h x 0.5 = 24"),
    (LUMI, "small-g", 1, 7, 1, 60, H, Fraction(1, 2), DOCS + "max(ceil(7/8), ceil(60/64), 1) x 0.5"),
    (LUMI, "small-g", 1, 9, 1, 64, H, 1, DOCS + "a ninth core is a second slice: ceil(9/8) x 0.5"),
    (LUMI, "small-g", 1, 8, 1, 65, 2 * H, 2, DOCS + "ceil(65/64) = 2 slices x 2 h x 0.5"),
    (LUMI, "small-g", 4, 224, 32, 1920, 3 * DAY, 1152, DOCS + "max(28, 30, 32) x 72 h x 0.5"),
    (LUMI, "small-g", 1, 56, 4, 128, 90 * 60, Fraction(21, 4), DOCS + "max(7, 2, 4) x 1.5 h x 0.5"),
    (LUMI, "dev-g", 1, 8, 1, 64, 20 * 60, Fraction(1, 6), DOCS + "dev-g as small-g: 1 x 1/3 h x 0.5"),
    (LUMI, "dev-g", 2, 112, 16, 960, 3 * H, 24, DOCS + "dev-g: max(14, 15, 16) x 3 h x 0.5"),
    # CPU-core-hours.
    (LUMI, "standard", 16, 2048, 0, 3584, 12 * H, 24576, DOCS + "standard: 16 x 128 x 12 h = 24576"),
    (LUMI, "standard", 1, 1, 0, 1, H, 128, DOCS + "standard: 128 a node-hour even for one core"),
    (LUMI, "small", 1, 4, 0, 4, DAY, 96, DOCS + "small: 4 cores x 24 h = 96"),
    (LUMI, "small", 1, 4, 0, 32, DAY, 384, DOCS + "small: (32 GB / 2 GB) x 24 h = 384"),
    (LUMI, "small", 1, 4, 0, 9, H, 5, DOCS + "small: max(4, ceil(9/2)) x 1 h"),
    (LUMI, "debug", 1, 32, 0, 64, 30 * 60, 16, DOCS + "CPU billing: 32 cores x 0.5 h"),
    (LUMI, "debug", 1, 32, 0, 64, 2 * H, 64, DOCS + "CPU billing: 32 cores x 2 hours = 64"),
    # Core-hours of whole nodes.
    (JUPITER, "booster", 1, 288, 4, 0, H, 288, JSC),
    (JUPITER, "booster", 1, 1, 1, 1, H, 288, JSC + "; one GPU of it costs the node"),
    (JUPITER, "booster", 16, 4608, 64, 0, 12 * H, 55296, JSC + "; 288 x 16 nodes x 12 h"),
    (JUPITER, "booster", 3, 864, 12, 0, 100, 24, JSC + "; 288 x 3 x 100 / 3600"),
]


@pytest.mark.parametrize(
    "example",
    EXAMPLES,
    ids=[f"{e[0].name}-{e[1]}-{n}" for n, e in enumerate(EXAMPLES)],
)
def test_a_job_costs_what_the_published_rule_says(example):
    site, name, nodes, cores, gpus, memory, seconds, units, source = example
    rule = site.partition(name).billing
    assert billed(rule, Resources(nodes, cores, gpus, memory * GIB), seconds) == units, source
    assert rule.unit == ("gpu-hours" if name.endswith("-g") else "core-hours")


@pytest.mark.parametrize(
    ("store", "size", "seconds", "units", "source"),
    [
        ("LUMI-P", 12 * TB // 10, 4 * DAY, Fraction(1152, 10), DOCS + "1.2 TB x 24 x 4 = 115.2"),
        ("LUMI-F", 12 * TB // 10, 4 * DAY, 1152, DOCS + "10 x 1.2 TB x 24 x 4 = 1152"),
        ("LUMI-O", 12 * TB // 10, 4 * DAY, Fraction(576, 10), DOCS + "0.5 x 1.2 TB x 24 x 4 = 57.6"),
        ("LUMI-P", 1, H, Fraction(1, TB), DOCS + "by volume: one byte for an hour"),
    ],
)
def test_data_costs_what_the_published_rule_says(store, size, seconds, units, source):
    assert stored(STORAGE[store], size, seconds) == units, source


def test_the_parts_of_a_jobs_time_cost_what_the_whole_does():
    rule, held = LUMI.partition("small-g").billing, Resources(1, 9, 1, 64 * GIB)
    assert billed(rule, held, 7) + billed(rule, held, 4993) == billed(rule, held, 5000)
    assert sum((billed(rule, held, 1) for _ in range(3600)), Fraction(0)) == 1


def test_an_estimate_is_what_a_job_that_runs_to_its_limit_is_billed():
    small = LUMI.partition("small-g")
    assert (
        estimate(small, nodes=2, gpus_per_node=4, cores=112, memory_mib=256 * GIB, seconds=H) == 7
    )  # max(14, 4, 8) x 0.5
    assert estimate(small, nodes=2, gpus_per_node=4, seconds=H) == 4  # 8 GCDs x 0.5
    assert estimate(LUMI.partition("small"), nodes=2, seconds=H) == 2  # a core a node
    assert estimate(JUPITER.partition("booster"), nodes=2, gpus_per_node=1, cores=8, seconds=12 * H) == 6912


def test_of_a_partition_of_whole_nodes_a_job_gets_whole_nodes():
    booster, standard, small = (
        JUPITER.partition("booster"),
        LUMI.partition("standard-g"),
        LUMI.partition("small-g"),
    )
    wish = {"nodes": 2, "gpus_per_node": 1, "cores": 14, "memory_mib": 100}
    assert asked(booster, nodes=2, gpus_per_node=1) == Resources(2, 576, 8, 0)
    assert asked(standard, **wish) == Resources(2, 14, 16, 100)
    assert asked(small, **wish) == Resources(2, 14, 2, 100)


def test_energy_is_the_published_average_of_the_gpus_held():
    # 4.46 MJ a GPU-node-hour is 4.46 / 3.6 = 1.239 kWh, an eighth of it 0.155 a GCD-hour.
    small, standard = LUMI.partition("small-g"), LUMI.partition("standard-g")
    assert energy(small, Resources(1, 14, 2, 0), 10 * H) == Fraction(31, 10)
    assert energy(standard, Resources(3, 1, 0, 0), H) == Fraction(372, 100)
    assert float(energy(standard, Resources(1), H)) == pytest.approx(4.46 / 3.6, rel=0.001)


def test_where_no_average_was_published_there_is_no_energy():
    assert energy(JUPITER.partition("booster"), Resources(1, 288, 4, 0), H) is None
    assert energy(LUMI.partition("small"), Resources(1, 4, 0, 0), H) is None


@pytest.mark.parametrize(
    ("rule", "held", "seconds", "units"),
    [
        # largemem: 128 cores and 256 GB, or 3000 GB, for a day.
        (LargestShare("core-hours", Fraction(1), 1, 2), Resources(1, 128, 0, 256 * GIB), DAY, 3072),
        (LargestShare("core-hours", Fraction(1), 1, 2), Resources(1, 128, 0, 3000 * GIB), DAY, 36000),
        # lumid: 1 GPU for half an hour; 1 GPU and 512 GB for 4 hours.
        (LargestShare("core-hours", Fraction(64), 16, 256), Resources(1, 16, 1, 256 * GIB), H // 2, 32),
        (LargestShare("core-hours", Fraction(64), 16, 256), Resources(1, 16, 1, 512 * GIB), 4 * H, 512),
    ],
)
def test_partitions_that_no_entry_names_yet_are_rules_of_the_same_kinds(rule, held, seconds, units):
    """LUMI-D, with the examples of docs.lumi-supercomputer.eu/runjobs/lumi_env/billing."""
    assert billed(rule, held, seconds) == units


def test_a_third_site_is_data_only():
    rule = LUMI.partition("small-g").billing
    karolaina = Partition(name="qgpu", billing=rule, max_seconds=H, max_nodes=1)
    assert estimate(karolaina, nodes=1, gpus_per_node=1, cores=8, memory_mib=64 * GIB, seconds=H) == Fraction(
        1, 2
    )
