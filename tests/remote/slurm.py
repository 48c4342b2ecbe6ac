"""A real Slurm on this host, as a remote site: slurmctld, nodes, accounting, and sshd before it.

Everything lies in one folder and listens on loopback. ``sbatch`` and its kin can be made to go wrong, see
``faulty.sh``.
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from operators.sites import model
from tests.ports import free_ports
from tests.remote.packages import ensure_packages

PROJECT = "project_465000001"
OTHER_PROJECT = "project_465000002"
GPUS = 8
NODES = ("n1", "n2", "n3")

PARTITIONS = (
    model.Partition(
        name="standard-g",
        billing=model.WholeNodes("gpu-hours", Fraction(4)),
        max_seconds=2 * 86400,
        max_nodes=2,
        whole_nodes=True,
        gpus_per_node=GPUS,
        cores_per_node=56,
    ),
    model.Partition(
        name="small-g",
        billing=model.LargestShare("gpu-hours", Fraction(1, 2), 8, 64),
        max_seconds=3 * 86400,
        max_nodes=1,
        gpus_per_node=GPUS,
        cores_per_node=56,
    ),
)

_HERE = Path(__file__).parent
_USERS = "antt"
"""Accounts of the host that are these tests' begin so, and go on with the process that made them."""
_TOOLS = ("sbatch", "squeue", "sacct", "scancel", "sinfo", "sshare", "scontrol")


@dataclass(frozen=True)
class Recorded:
    """A job as the accounting has it, whoever asked for it."""

    id: int
    name: str
    comment: str
    project: str
    partition: str
    state: str
    submitted: int


@dataclass(frozen=True)
class Login:
    """An account of the host that somebody has at the site, with a home and a key of its own."""

    user: str
    home: Path
    key: Path


@dataclass
class SlurmSite:
    """One that is up. ``access_options`` are what ``SlurmAccess`` takes."""

    folder: Path
    port: int
    key: Path
    known_hosts: Path
    ports: dict[str, int]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    logins: list[Login] = field(default_factory=list)

    def add_login(self, name: str, *projects: str) -> Login:
        """An account that is a member of these projects, none for one that only looks; gone with the site."""
        # Two sites of one process are up at once, each with a login of this name.
        user = f"{_USERS}{os.getpid()}p{self.port}{name}"
        home = self.folder / "homes" / name
        made = ["useradd", "--home-dir", str(home), "--no-create-home", "--shell", "/bin/sh", "-p", "*", user]
        subprocess.run(made, check=True)
        login = Login(user, home, self.folder / f"{name}.key")
        self.logins.append(login)
        self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", login.key)
        (home / ".ssh").mkdir(parents=True)
        shutil.copy(login.key.with_suffix(".key.pub"), home / ".ssh" / "authorized_keys")
        for path in (home, home / ".ssh", home / ".ssh" / "authorized_keys"):
            shutil.chown(path, user, user)
            path.chmod(0o700 if path.is_dir() else 0o600)
        for project in projects:
            self.run("sacctmgr", "--immediate", "add", "user", user, f"account={project}")
        return login

    @property
    def site(self) -> model.Site:
        """The site as the operator knows it, without a floor on polling."""
        return model.Site(
            name="testbed",
            title="A Slurm on this host",
            access=model.Access(
                "ssh", "127.0.0.1", self.port, poll_floor_seconds=0, connections_per_minute=60
            ),
            accounting=model.Accounting("sacct", "at-once", "project"),
            project_pattern=r"project_46[0-9]{7}",
            partitions=PARTITIONS,
        )

    @property
    def access_options(self) -> dict[str, Any]:
        """``SlurmAccess(**these)``."""
        return {
            "site": self.site,
            "user": "root",
            "key": self.key,
            "known_hosts": self.known_hosts,
            "projects": (PROJECT, OTHER_PROJECT),
        }

    def run(self, *argv: str | Path, text: str | None = None, check: bool = True) -> str:
        """A Slurm command of this site's own, never a faulty one; what it printed."""
        done = subprocess.run(
            argv, env=self.environment, input=text, capture_output=True, text=True, check=False, timeout=60
        )
        assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """What finds this Slurm."""
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), "LC_ALL": "C"}

    def go_wrong(self, tool: str, *faults: str) -> None:
        """The next calls of ``tool`` over SSH, in this order; one that begins with ``always`` lasts."""
        path = self.folder / "faults" / tool
        path.write_text("".join(f"{fault}\n" for fault in faults))
        path.chmod(0o666)

    def go_right(self) -> None:
        """No command goes wrong any more."""
        for tool in _TOOLS:
            (self.folder / "faults" / tool).unlink(missing_ok=True)

    def calls(self) -> list[str]:
        """Which of the commands have been called over SSH, in order."""
        path = self.folder / "faults" / "calls"
        return path.read_text().split() if path.exists() else []

    def connections(self) -> int:
        """How many SSH connections there have been."""
        return (self.folder / "sshd.log").read_text(errors="replace").count("Connection from ")

    def accounting(self) -> list[Recorded]:
        """Every job that was ever accepted, ids used twice included, oldest first."""
        fields = "JobIDRaw,JobName,Comment,Account,Partition,State,Submit"
        printed = subprocess.run(
            [
                *("sacct", "--allocations", "--duplicates", "--allusers", "--starttime=2020-01-01"),
                *("--parsable2", "--noheader", "--delimiter=\x1f", f"--format={fields}"),
            ],
            env={**self.environment, "SLURM_TIME_FORMAT": "%s"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        rows = (line.split("\x1f") for line in printed.splitlines())
        return [
            Recorded(int(id_), name, comment, project, partition, state, int(submitted))
            for id_, name, comment, project, partition, state, submitted in rows
        ]

    def idle_nodes(self) -> set[str]:
        """Nodes that wait for work."""
        return set(self.run("sinfo", "-h", "-N", "-t", "idle", "-o", "%N", check=False).split())

    def stop(self, name: str) -> None:
        """End ``slurmctld``, ``slurmdbd`` or ``sshd`` (its connections live on, see ``drop_connections``)."""
        _end(self.processes.pop(name))

    def start(self, name: str) -> None:
        """Start it again; ready when this returns."""
        _STARTERS[name](self)

    def pause(self, name: str) -> None:
        """It hangs: connections are taken and nothing is answered."""
        self.processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """It goes on."""
        self.processes[name].send_signal(signal.SIGCONT)

    def drop_connections(self) -> None:
        """Every SSH connection breaks now."""
        for pid in _children_of(self.processes["sshd"].pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def spawn(self, name: str, *argv: str | Path) -> None:
        """Start a process of this site, to be ended with it."""
        assert name not in self.processes
        with (self.folder / f"{name}.out").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                argv,
                env={**self.environment, "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def await_port(self, name: str, port: int) -> None:
        """Until somebody listens there."""

        def listening() -> bool:
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0

        self.wait(listening, name)

    def wait(self, until: Callable[[], bool], process: str = "", seconds: float = 60) -> None:
        """Until it holds, or the process ended, or time is up."""
        ends = time.monotonic() + seconds
        while not until():
            running = self.processes.get(process)
            ended = running is not None and running.poll() is not None
            assert not ended and time.monotonic() < ends, f"{process or until}: {self.last_words()}"
            time.sleep(0.05)

    def last_words(self) -> str:
        """The ends of all logs."""
        logs = [*self.folder.glob("*.out"), *self.folder.glob("*.log")]
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-800:]}" for log in logs)


@contextmanager
def slurm_site(
    folder: Path, *, most_jobs: int = 10_000, remembers: int = 300, threads: int = 1
) -> Iterator[SlurmSite]:
    """Up when entered, gone when left. ``folder`` is empty, and its path is short (sockets lie in it).

    It holds ``most_jobs`` at a time; an array may have as many. slurmctld ``remembers`` for so many seconds
    what has ended, and for ten more at times. Each of a node's 56 cores has so many ``threads``.
    """
    ensure_packages()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    _remove_users(os.getpid())
    names = ("ssh", "ctld", "dbd", "mariadb", *NODES)
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    site = SlurmSite(folder, ports["ssh"], folder / "key", folder / "known_hosts", ports)
    try:
        _write_configuration(site, most_jobs, remembers, threads)
        with ThreadPoolExecutor(2) as meanwhile:
            database = meanwhile.submit(_start_mariadb, site)
            _start_munge(site)
            _start_sshd(site)
            database.result()
        _start_slurmdbd(site)
        _declare_projects(site)
        _start_slurmctld(site)
        for node in NODES:
            site.spawn(node, "/usr/sbin/slurmd", "-D", "-N", node)
        site.wait(lambda: site.idle_nodes() == set(NODES))
        yield site
    finally:
        _end_everything(site)


def _write_configuration(site: SlurmSite, most_jobs: int, remembers: int, threads: int) -> None:
    folder, host, ports = site.folder, socket.gethostname(), site.ports
    for name in ("state", "spool", "faults", "bin", "home", "homes", "munge", "db", "tmp"):
        (folder / name).mkdir()
    # Whoever logs in takes a fault from the list, and writes that it was called.
    (folder / "faults").chmod(0o777)
    for name in ("calls", *(f"{tool}.lock" for tool in _TOOLS)):
        (folder / "faults" / name).touch()
        (folder / "faults" / name).chmod(0o666)
    (folder / "munge").chmod(0o755)
    password = secrets.token_hex(16)
    (folder / "init.sql").write_text(
        "CREATE DATABASE slurm;\n"
        f"CREATE USER slurm@'127.0.0.1' IDENTIFIED BY '{password}';\n"
        "GRANT ALL ON slurm.* TO slurm@'127.0.0.1';\n"
    )
    _write_private(
        folder / "slurmdbd.conf",
        f"""\
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={ports["dbd"]}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports["mariadb"]}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm
""",
    )
    nodes = "\n".join(
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[node]} "
        f"Sockets=1 CoresPerSocket=56 ThreadsPerCore={threads} RealMemory=480000 Gres=gpu:{GPUS}"
        for node in NODES
    )
    (folder / "slurm.conf").write_text(
        f"""\
ClusterName=testbed
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports["ctld"]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=8000
GresTypes=gpu
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=5,sched_interval=2
PriorityType=priority/basic
KillWait=2
ReturnToService=2
FirstJobId=1000
MaxJobCount={most_jobs}
MinJobAge={remembers}
MaxArraySize={most_jobs}
MailProg=/bin/true
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports["dbd"]}
AccountingStoragePass={folder}/munge/socket
AccountingStorageEnforce=associations,limits
EnforcePartLimits=ALL
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
{nodes}
PartitionName=small-g Nodes=n[1-3] MaxNodes=1 MaxTime=3-0 DefaultTime=60
PartitionName=standard-g Nodes=n[1-3] MaxNodes=2 MaxTime=2-0 DefaultTime=60 OverSubscribe=EXCLUSIVE
"""
    )
    (folder / "gres.conf").write_text("Name=gpu File=/dev/tty[0-7]\n")
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    for tool in _TOOLS:
        (folder / "bin" / tool).symlink_to(_HERE / "faulty.sh")
    login = folder / "login"
    login.write_text(
        f"""\
#!/bin/sh
[ "$(id -u)" != 0 ] || export HOME='{folder}/home'
export SLURM_CONF='{folder}/slurm.conf' ANTENNA_FAULTS='{folder}/faults'
export PATH='{folder}/bin':/usr/bin:/bin
cd && exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""
    )
    login.chmod(0o755)
    for name in ("key", "host_key", "authority"):
        site.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", folder / name)
    shutil.copy(folder / "key.pub", folder / "authorized_keys.root")
    public = " ".join((folder / "host_key.pub").read_text().split()[:2])
    site.known_hosts.write_text(f"[127.0.0.1]:{site.port} {public}\n")
    (folder / "sshd_config").write_text(
        f"""\
ListenAddress 127.0.0.1:{site.port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys.%u .ssh/authorized_keys
TrustedUserCAKeys {folder}/authority.pub
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
PidFile none
LogLevel VERBOSE
ForceCommand {folder}/login
"""
    )


def _write_private(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text)


def _start_mariadb(site: SlurmSite) -> None:
    data = site.folder / "db"
    small = [
        *("--no-defaults", f"--datadir={data}", "--user=root", "--innodb-log-file-size=8M"),
        *("--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"),
        # One that starts deletes all temporary tables that it finds there, those of others too.
        f"--tmpdir={site.folder / 'tmp'}",
    ]
    quick = ("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
    site.run("mariadb-install-db", *small, *quick)
    site.spawn(
        "mariadb",
        *("/usr/sbin/mariadbd", *small, f"--socket={data}/socket", f"--pid-file={data}/pid"),
        *("--bind-address=127.0.0.1", f"--port={site.ports['mariadb']}", "--skip-name-resolve"),
        *("--innodb-lock-wait-timeout=900", "--max-allowed-packet=16M", "--performance-schema=off"),
        f"--init-file={site.folder}/init.sql",
    )
    site.await_port("mariadb", site.ports["mariadb"])


def _start_munge(site: SlurmSite) -> None:
    folder = site.folder / "munge"
    key = folder / "key"
    key.touch(0o600)
    key.write_bytes(secrets.token_bytes(128))
    site.spawn(
        "munged",
        *(
            "/usr/sbin/munged",
            "--foreground",
            "--force",
            "--num-threads=10",
            f"--key-file={key}",
            f"--socket={folder}/socket",
        ),
        *(f"--pid-file={folder}/pid", f"--log-file={folder}/log", f"--seed-file={folder}/seed"),
    )
    site.wait((folder / "socket").exists, "munged")


def _start_sshd(site: SlurmSite) -> None:
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    site.spawn(
        "sshd", "/usr/sbin/sshd", "-D", "-f", site.folder / "sshd_config", "-E", site.folder / "sshd.log"
    )
    site.await_port("sshd", site.port)


def _start_slurmdbd(site: SlurmSite) -> None:
    site.spawn("slurmdbd", "/usr/sbin/slurmdbd", "-D")
    site.await_port("slurmdbd", site.ports["dbd"])


def _start_slurmctld(site: SlurmSite) -> None:
    site.spawn("slurmctld", "/usr/sbin/slurmctld", "-D")
    site.wait(lambda: "UP" in site.run("scontrol", "ping", check=False), "slurmctld")


def _declare_projects(site: SlurmSite) -> None:
    site.run("sacctmgr", "--immediate", "add", "cluster", "testbed")
    for project in (PROJECT, OTHER_PROJECT):
        site.run("sacctmgr", "--immediate", "add", "account", project, "cluster=testbed")
        site.run("sacctmgr", "--immediate", "add", "user", "root", f"account={project}")


_STARTERS: dict[str, Callable[[SlurmSite], None]] = {
    "slurmctld": _start_slurmctld,
    "slurmdbd": _start_slurmdbd,
    "sshd": _start_sshd,
}

_ORDER = (*NODES, "slurmctld", "slurmdbd", "sshd", "mariadb", "munged")


def _end_everything(site: SlurmSite) -> None:
    for name in _ORDER:
        if process := site.processes.pop(name, None):
            _end(process)
    # What jobs and logins leave behind: they carry this folder in their environment.
    mark = f"{site.folder}/slurm.conf".encode()
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()):
        with suppress(OSError):
            if pid != os.getpid() and mark in Path(f"/proc/{pid}/environ").read_bytes():
                os.kill(pid, signal.SIGKILL)
    for login in site.logins:
        subprocess.run(["userdel", login.user], check=False, capture_output=True)


def _remove_users(mine: int) -> None:
    """Those of tests that were killed."""
    for name in [entry.pw_name for entry in pwd.getpwall() if entry.pw_name.startswith(_USERS)]:
        pid = re.match(r"[0-9]+", name.removeprefix(_USERS))
        if pid and int(pid[0]) != mine and not Path(f"/proc/{pid[0]}").exists():
            subprocess.run(["userdel", name], check=False, capture_output=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGCONT)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    process.kill()
    process.wait()


def _children_of(pid: int) -> Sequence[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
