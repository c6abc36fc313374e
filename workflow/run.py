"""Start Snakemake for `make`: one run at a time in this folder, and a fresh start after a killed one.

A killed Snakemake leaves its directory lock, and perhaps a running job, behind. While another run is
alive both must be left alone; so this takes a file lock (which the system drops when the process
ends, however it ends), looks for other Snakemake processes in this folder, and only then clears up.

A profile may be called by its name in workflow/profiles/. One that does not exist is an error here: Snakemake
itself takes no notice of a --workflow-profile that it cannot find.

The console is written by workflow/plugins/; --verbose, or a --logger of one's own, brings Snakemake's back.

Usage: python workflow/run.py [arguments of snakemake]
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent / "scripts"))

from posegauge import disk

STATE = Path(".snakemake")
PROFILES = Path("workflow/profiles")
# Where Snakemake finds the plugin that writes the console; from here, since a search path is cut at colons.
PLUGINS = Path("workflow/plugins")
OPTIONS = ("--profile", "--workflow-profile")
# Where Snakemake looks for a profile's name by itself.
ELSEWHERE = (Path("profiles"), Path("~/.config/snakemake"), Path("/etc/xdg/snakemake"))


def processes(here: str) -> tuple[list, list]:
    """Return the other processes in folder `here`: (Snakemake itself, jobs that Snakemake started)."""
    masters, jobs = [], []
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        try:
            if process.pid in mine or process.cwd() != here:
                continue
            # What Slurm runs on this machine is found, and cancelled, through Slurm (cluster.py).
            if process.environ().get("SLURM_JOB_ID") != os.environ.get("SLURM_JOB_ID"):
                continue
            words = process.cmdline()
        except psutil.Error:  # gone meanwhile, or another user's
            continue
        if any(".snakemake/scripts/" in word for word in words):
            jobs.append(process)
        elif any(Path(word).name == "snakemake" for word in words[:3]):
            masters.append(process)
    return masters, jobs


def find_profiles(arguments: list[str]) -> list[str]:
    """Return the arguments with folders in place of names of profiles; exit when one does not exist."""
    found = list(arguments)
    for place, word in enumerate(arguments):
        option, equals, name = word.partition("=")
        if option not in OPTIONS:
            if place == 0 or arguments[place - 1] not in OPTIONS:
                continue
            option, name = "", word
        elif not equals:
            continue
        path = name if name == "none" else _profile(name)
        found[place] = f"{option}={path}" if option else path
    return found


def _profile(name: str) -> str:
    if (PROFILES / name / "profile.yaml").is_file():
        return str(PROFILES / name)
    if name and (
        Path(name).exists() or any(os.path.exists(os.path.expanduser(folder / name)) for folder in ELSEWHERE)
    ):
        return name
    known = ", ".join(sorted(path.parent.name for path in PROFILES.glob("*/profile.yaml")))
    sys.exit(
        f"There is no profile '{name}': {PROFILES}/ has {known}; or give the path of a profile's folder."
    )


def with_console(arguments: list[str], environment: dict) -> tuple[list[str], dict]:
    """Return arguments and environment with the logger plugin, unless another one is asked for."""
    if any(word.partition("=")[0] == "--logger" for word in arguments):
        return arguments, environment
    paths = [str(PLUGINS), *filter(None, [environment.get("PYTHONPATH")])]
    # After all options, since --logger takes the words that follow; but after "--" there are targets only.
    end = arguments.index("--") if "--" in arguments else len(arguments)
    arguments = [*arguments[:end], "--logger", "console", *arguments[end:]]
    return arguments, {**environment, "PYTHONPATH": os.pathsep.join(paths)}


def with_home(environment: dict) -> dict:
    """Return an environment with a place for caches: .snakemake/home where no home can be written."""
    home = os.path.expanduser("~")
    if not disk.problem(environment.get("XDG_CACHE_HOME") or f"{home}/.cache") and home != "~":
        return environment
    own = str((STATE / "home").absolute())
    return {**environment, "HOME": own, "XDG_CACHE_HOME": f"{own}/.cache"}


def main(arguments: list[str]) -> None:
    """Take the lock, clear up after a killed run, and become Snakemake."""
    arguments = find_profiles(arguments)
    if refused := disk.problem(STATE):
        sys.exit(refused)
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
    snakemake, environment = with_console(snakemake, with_home(dict(os.environ)))
    os.execve(sys.executable, snakemake, environment)


if __name__ == "__main__":
    main(sys.argv[1:])
