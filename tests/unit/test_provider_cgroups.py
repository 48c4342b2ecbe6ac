"""Where a machine's cgroups lie, on hosts of either version. The trees here are plain folders."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.provider import cgroups


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    return tmp_path


def test_version_1_has_a_folder_a_controller_and_a_new_cpuset_takes_its_parents_cpus(tree: Path) -> None:
    for controller in ("cpuset", "memory"):
        (tree / controller).mkdir()
        (tree / controller / "cgroup.procs").touch()
    (tree / "cpu,cpuacct").symlink_to("cpuset")
    levels = [tree / "cpuset" / below for below in ("", "antenna", "antenna/t", "antenna/t/gpu-1")]
    for level in levels:
        level.mkdir(parents=True, exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            (level / setting).write_text("0-1\n" if level == levels[0] else "\n")
    made = cgroups.make("t", "gpu-1")
    assert made == [tree / "cpuset/antenna/t/gpu-1", tree / "memory/antenna/t/gpu-1"]
    assert [(level / "cpuset.cpus").read_text() for level in levels] == ["0-1\n"] * 4


def test_version_2_has_one_folder_and_hands_its_controllers_down(tree: Path) -> None:
    levels = [tree / below for below in ("", "antenna", "antenna/t")]
    for level in levels:
        level.mkdir(exist_ok=True)
        (level / "cgroup.controllers").write_text("cpu memory pids\n")
    assert cgroups.make("t", "gpu-1") == [tree / "antenna/t/gpu-1"]
    assert [(level / "cgroup.subtree_control").read_text() for level in levels] == ["+cpu +memory +pids"] * 3


def test_the_processes_of_a_machine_are_those_of_its_whole_tree(tree: Path) -> None:
    (tree / "cgroup.controllers").touch()
    for below, pids in (("payload", "7\n8\n"), ("payload/kubepods/pod1", "9\n"), ("supervisor", "")):
        folder = tree / "antenna/t/gpu-1" / below
        folder.mkdir(parents=True)
        (folder / "cgroup.procs").write_text(pids)
    assert cgroups.processes("t", "gpu-1") == {7, 8, 9}
    assert cgroups.processes("t", "gpu-2") == set()


def test_a_machine_is_made_while_others_of_its_stack_come_and_go(tree: Path) -> None:
    """Whoever goes takes the folders above along while they are empty."""
    (tree / "memory").mkdir()
    (tree / "memory" / "cgroup.procs").touch()

    def come_and_go(name: str) -> int:
        for _ in range(200):
            (folder,) = cgroups.make("t", name)
            assert folder.is_dir()
            cgroups.remove("t", name)
        return 200

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(come_and_go, ("a", "b", "c", "d", "e", "f"))) == 1200
    assert not (tree / "memory" / "antenna").exists()
