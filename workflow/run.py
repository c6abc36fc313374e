"""Start Snakemake for `make`: one run at a time in this folder, and a fresh start after a killed one.

A killed Snakemake leaves its directory lock, and perhaps a running job, behind. While another run is
alive both must be left alone; so this takes a file lock (which the system drops when the process
ends, however it ends), looks for other Snakemake processes in this folder, and only then clears up.

Usage: python workflow/run.py [arguments of snakemake]
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import psutil

STATE = Path(".snakemake")


def processes(here: str) -> tuple[list, list]:
    """Return the other processes in folder `here`: (Snakemake itself, jobs that Snakemake started)."""
    masters, jobs = [], []
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        try:
            if process.pid in mine or process.cwd() != here:
                continue
            words = process.cmdline()
        except psutil.Error:  # gone meanwhile, or another user's
            continue
        if any(".snakemake/scripts/" in word for word in words):
            jobs.append(process)
        elif any(Path(word).name == "snakemake" for word in words[:3]):
            masters.append(process)
    return masters, jobs


def main(arguments: list[str]) -> None:
    """Take the lock, clear up after a killed run, and become Snakemake."""
    STATE.mkdir(exist_ok=True)
    lock = os.open(STATE / "make.lock", os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("Another `make` runs the workflow in this folder: wait for it or stop it.")
    masters, jobs = processes(os.getcwd())
    if masters:
        sys.exit(f"Snakemake (process {masters[0].pid}) runs in this folder: wait for it or stop it.")
    for job in jobs:  # it would disturb measurements, and its result is made again anyway
        print(f"Stopping a job of a killed run (process {job.pid}).", file=sys.stderr)
        job.terminate()
    psutil.wait_procs(jobs, timeout=10)

    snakemake = [sys.executable, "-m", "snakemake", *arguments]
    if any(STATE.glob("locks/*")):
        print("Removing the directory lock of a killed run.", file=sys.stderr)
        unlock = subprocess.run([*snakemake, "--unlock"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if unlock.returncode:
            sys.stderr.buffer.write(unlock.stdout)
            sys.exit(unlock.returncode)
    os.set_inheritable(lock, True)  # Snakemake holds the lock from here on; its jobs do not inherit it
    os.execv(sys.executable, snakemake)


if __name__ == "__main__":
    main(sys.argv[1:])
