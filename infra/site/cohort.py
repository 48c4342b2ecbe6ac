"""What partners share: Kueue's cohort, and the kinds of GPU in it."""

from __future__ import annotations

from pydantic import Field

from infra.site.values import Amount, Count, FlavorName, GpuModel, Model


class Shared(Model):
    """Part of a flavor that is no partner's own: whoever asks borrows it."""

    gpus: Count = 0
    cpus: Count = 0
    """Cores, beside those that come with the GPUs."""
    memory_gib: Count = 0
    """GiB, beside those that come with the GPUs."""


class Flavor(Model):
    """One kind of GPU, as Kueue gives it out, with the cores and the memory that go with each."""

    name: FlavorName
    gpu_model: GpuModel
    cpus_per_gpu: Amount = Field(examples=[16])
    """Cores that a quota of one GPU includes."""
    memory_gib_per_gpu: Amount = Field(examples=[128])
    """GiB that a quota of one GPU includes."""
    shared: Shared = Shared()
    """Stated, not computed from what partners leave: so changing one partner's quota changes that
    partner's objects and nothing else."""


class Cohort(Model):
    """Queues in one cohort lend each other what they do not use."""

    name: FlavorName = Field(examples=["antenna"])
    flavors: tuple[Flavor, ...] = Field(min_length=1)
