"""One systemd-nspawn container: starting it detached, finding it, stopping it, clearing what a crash left."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from infra import paths
from infra.provider import base, cgroups, interfaces, mounts
from infra.provider.kind import ProviderError

RUNTIME = Path("/run/systemd/nspawn")
"""Where systemd-nspawn keeps a folder a container; after a hard stop it refuses to start over them."""

INOTIFY_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_NEEDED = 1024
"""Machines share the host's limit; each one's systemd, containerd and kubelet want a few dozen."""

SLUG = 7
"""How much of a machine's name fits an interface name: 15 bytes less "vb-", the stack's 4 digits, "-"."""

LAUNCH = (
    'for folder in $CGROUPS; do echo $$ > "$folder/cgroup.procs" || exit 1; done; unset CGROUPS; exec "$@"'
)
"""Enters the machine's cgroups, then becomes its first argument."""


def stack_prefix(stack: str) -> str:
    """Begins the name of each of the stack's containers on this host."""
    return hashlib.sha256(stack.encode()).hexdigest()[:4] + "-"


def container_name(stack: str, machine: str) -> str:
    """The container's name on this host: at most 12 bytes, apart for every stack and machine."""
    if len(machine) > SLUG:
        machine = machine[: SLUG - 4].rstrip("-") + hashlib.sha256(machine.encode()).hexdigest()[:4]
    return stack_prefix(stack) + machine


def link_name(stack: str, machine: str) -> str:
    """The host's end of the machine's network cable."""
    return f"vb-{container_name(stack, machine)}"


def console_log(stack: str, machine: str) -> Path:
    """What the machine prints while it boots."""
    return paths.logs(stack) / f"machine-{machine}.log"


def root(stack: str, machine: str) -> Path:
    """The machine's / as seen from this host."""
    return paths.machine_dir(stack, machine) / "root"


def is_running(stack: str, machine: str) -> bool:
    """Whether its container is up (not whether it answers)."""
    return any(_command(pid) == "systemd-nspawn" for pid in cgroups.processes(stack, machine))


def start(stack: str, machine: str, bridge: str, binds: Sequence[str]) -> None:
    """Boot the container on its mounted root, apart from this process and all its parents.

    It outlives the engine: a killed ``up`` leaves a machine that the next one adopts.
    """
    _allow_inotify()
    log = console_log(stack, machine)
    log.parent.mkdir(parents=True, exist_ok=True)
    folders = cgroups.make(stack, machine)
    with log.open("wb") as console:
        subprocess.run(
            ["setsid", "--fork", "sh", "-c", LAUNCH, "sh", *argv(stack, machine, bridge, binds)],
            env={"CGROUPS": " ".join(map(str, folders)), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            cwd="/",
            check=True,
        )


def argv(stack: str, machine: str, bridge: str, binds: Sequence[str]) -> list[str]:
    """The systemd-nspawn command line. ``binds`` are its --bind options."""
    return [
        "systemd-nspawn",
        "--boot",
        "--quiet",
        "--keep-unit",
        "--register=no",
        "--settings=no",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--console=read-only",
        f"--directory={root(stack, machine)}",
        f"--machine={container_name(stack, machine)}",
        f"--hostname={machine}",
        f"--network-bridge={bridge}",
        "--capability=all",
        # Without them runc cannot join a session keyring, and the kubelet cannot watch devices.
        "--system-call-filter=@keyring bpf",
        *binds,
    ]


# A start that was cut off may go on for a moment: what comes into the folders after the kill keeps them busy.
@retry(
    retry=retry_if_exception_type(OSError),
    wait=wait_fixed(0.1),
    stop=stop_after_delay(20),
    reraise=True,
)
def stop(stack: str, machine: str) -> None:
    """Kill the container with all that runs in it, and clear what it leaves on this host.

    Its disk stays. A poweroff would wait for the pods' processes, and nothing of them is kept.
    Raises ProviderError when a process will not die.
    """
    if left := cgroups.kill(stack, machine):
        raise ProviderError(
            f"machine {machine}: processes {sorted(left)} do not end; see `ps -fp` for what they are"
        )
    if (link := link_name(stack, machine)) in interfaces.interfaces():
        with suppress(ProviderError):
            # It goes by itself once the kernel has taken down the container's network.
            interfaces.delete(link)
    for folder in runtime_folders(container_name(stack, machine)):
        mounts.unmount_below(folder)
        base.remove_tree(folder)
    _unlock(root(stack, machine))
    mounts.unmount_below(root(stack, machine))
    cgroups.remove(stack, machine)


def runtime_folders(name: str) -> list[Path]:
    """What systemd-nspawn keeps for containers whose name matches the pattern."""
    return sorted(RUNTIME.glob(f"*/{name}"))


def _unlock(folder: Path) -> None:
    """Remove systemd-nspawn's lock on that folder: a file named by device and inode."""
    with suppress(FileNotFoundError):
        status = folder.stat()
        (RUNTIME / "locks" / f"inode-{status.st_dev}:{status.st_ino}").unlink()


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _allow_inotify() -> None:
    if int(INOTIFY_INSTANCES.read_text()) < INOTIFY_NEEDED:
        INOTIFY_INSTANCES.write_text(str(INOTIFY_NEEDED))
