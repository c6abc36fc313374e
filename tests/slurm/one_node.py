"""A Slurm cluster of one node on this machine, for tests: nothing outside its own folder is read or written.

It needs slurmctld, slurmd, slurm-client and munge (Debian's names), and keeps no accounts.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

PACKAGES = {
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
    "srun": "slurm-client",
    "squeue": "slurm-client",
}
PARTITION = "small"
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/finished.log
MinJobAge=3600
SlurmdParameters=config_overrides
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} State=UNKNOWN
PartitionName={partition} Nodes={host} Default=YES MaxTime=1-0 State=UP
PartitionName=short Nodes={host} MaxTime=1 State=UP
"""


def path() -> str:
    """Return PATH with the folders of daemons, which are missing from that of an ordinary user."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    return os.pathsep.join([*folders, *({"/usr/sbin", "/sbin"} - set(folders))])


def missing() -> list[str]:
    """Return the packages whose programs are not installed."""
    return sorted({package for name, package in PACKAGES.items() if not shutil.which(name, path=path())})


def why_not_installable() -> str | None:
    """Return why the missing packages cannot be installed here, or None."""
    if os.geteuid() != 0:
        return "only root can install them"
    return None if shutil.which("apt-get") else "there is no apt-get here"


def install() -> str | None:
    """Install what is missing with apt-get; return what went wrong, or None. No daemon is started."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    get = ["apt-get", "-q", "-y", "-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=20"]
    for words in ([*get, "update"], [*get, "install", "--no-install-recommends", *missing()]):
        done = subprocess.run(
            words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
        )
    return (
        f"apt-get failed: {(done.stdout.strip().splitlines() or ['no output'])[-1]}"
        if done.returncode
        else None
    )


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()


class OneNode:
    """The cluster, running between `with` and its end; `environment` is for the programs that use it."""

    def __enter__(self):
        # munged wants a path that others cannot write to, and a socket's path must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.processes = []
        user = psutil.Process().username()
        host = socket.gethostname().partition(".")[0]
        controller_port, node_port = _free_ports(2)
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        config = self.folder / "slurm.conf"
        config.write_text(
            CONFIG.format(
                folder=self.folder,
                host=host,
                user=user,
                controller_port=controller_port,
                node_port=node_port,
                # Jobs ask for two; on one core they share it.
                cpus=max(2, len(os.sched_getaffinity(0))),
                memory_mb=psutil.virtual_memory().total * 9 // 10 // 2**20,
                partition=PARTITION,
            )
        )
        self.environment = {**os.environ, "SLURM_CONF": str(config), "PATH": self._with_srun(config)}
        for name in [name for name in self.environment if name.startswith(("SLURM_JOB", "SBATCH_"))]:
            del self.environment[name]
        try:
            self._start(
                "munged",
                "--foreground",
                f"--socket={self.folder}/munge.socket",
                f"--key-file={key}",
                f"--log-file={self.folder}/munged.log",
                f"--pid-file={self.folder}/munged.pid",
                f"--seed-file={self.folder}/munged.seed",
            )
            self._wait((self.folder / "munge.socket").exists)
            self._start("slurmctld", "-D", "-f", str(config))
            self._start("slurmd", "-D", "-f", str(config))
            self._wait(lambda: "idle" in self.run("sinfo", "-h", "-o", "%t", check=False))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def _with_srun(self, config: Path) -> str:
        """Return PATH with an srun that finds the configuration: the plugin hides SLURM_CONF from it."""
        script = self.folder / "bin" / "srun"
        script.parent.mkdir()
        real = shutil.which("srun", path=path())
        script.write_text(f'#!/bin/sh\nSLURM_CONF={config} exec {real} "$@"\n')
        script.chmod(0o755)
        return f"{script.parent}{os.pathsep}{path()}"

    def _start(self, name: str, *arguments: str) -> None:
        program = shutil.which(name, path=path())
        output = (self.folder / f"{name}.out").open("wb")
        self.processes.append(
            subprocess.Popen(
                [program, *arguments], env=self.environment, stdout=output, stderr=output, cwd=self.folder
            )
        )
        output.close()

    def _wait(self, ready, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            dead = [process for process in self.processes if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                raise RuntimeError(f"Slurm did not start:\n{self.logs()}")
            time.sleep(0.2)

    def logs(self) -> str:
        """Return the last lines of what the daemons wrote."""
        files = [*self.folder.glob("*.out"), *self.folder.glob("*.log")]
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-2000:]}" for file in files)

    def run(self, *words: str, check: bool = True) -> str:
        """Return what a command prints that talks to this cluster."""
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=60, check=check
        )
        return done.stdout

    def queue(self) -> list[dict]:
        """Return the jobs that Slurm knows, finished ones too: {id, state, rule}."""
        lines = self.run("squeue", "--states=all", "--noheader", "--format=%i|%T|%k").splitlines()
        return [dict(zip(("id", "state", "rule"), line.split("|"), strict=True)) for line in lines]

    def finished(self) -> list[dict]:
        """Return the records of Slurm's own log of finished jobs."""
        log = self.folder / "finished.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]

    def stop(self) -> None:
        """End all jobs and daemons, and remove the folder."""
        if len(self.processes) == 3:
            self.run("scancel", "--state=PENDING", check=False)
            for job in self.run("squeue", "-h", "-o", "%i", check=False).split():
                self.run("scancel", job, check=False)
            deadline = time.monotonic() + 20
            while self.run("squeue", "-h", "-o", "%i", check=False).split() and time.monotonic() < deadline:
                time.sleep(0.5)
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []
        shutil.rmtree(self.folder, ignore_errors=True)
