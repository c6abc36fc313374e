"""Jobs on a cluster: what they ask Slurm for, and whether this cluster can give it.

The check comes before the first job, because Slurm takes jobs that can never start (a time limit above the
partition's) and its plugin waits for ever where a command that it needs is missing.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from posegauge.errors import PoseGaugeError, nearest

# What the plugin calls. It asks sacct for the user's account even where no account is kept.
COMMANDS = ("sinfo", "sbatch", "srun", "squeue", "scancel", "scontrol", "sacct")


# Of all jobs of this project; the plugin adds a number of its own for each start.
JOB_PREFIX = "posegauge"


# The plugin's longest pause between two looks, in seconds; what Slurm forgets before is never seen to end.
LONGEST_PAUSE_S = 180


def needs(cluster: dict, minutes: int, mem_mb: int, device: str = "cpu", alone: bool = False) -> dict:
    """Return the resources of a rule, under the names that the plugin for Slurm knows.

    Args:
        cluster: that group of the config.
        minutes: the longest it may take. Not more with each try: a job beyond its partition's limit waits for
            ever.
        mem_mb: memory; a job that is tried again gets as much more each time.
        device: "cuda" asks for a GPU, unless the config says that the cluster has none.
        alone: nothing else may run on the node.
    """
    on_gpu = device == "cuda" and cluster["gpus"]
    partition = (on_gpu and cluster["gpu_partition"]) or cluster["partition"]
    return {
        "runtime": minutes,
        "mem_mb": _more_each_time(mem_mb),
        **({"slurm_partition": partition} if partition else {}),
        **({"gpu": 1} if on_gpu else {}),
        **({"gpu_model": cluster["gpu_model"]} if on_gpu and cluster["gpu_model"] else {}),
        **({"slurm_extra": "--exclusive"} if alone else {}),
    }


def _more_each_time(amount: int) -> Callable[..., int]:
    def of_attempt(wildcards, attempt: int) -> int:
        return amount * attempt

    return of_attempt


def check_config(config: dict) -> None:
    """Raise PoseGaugeError where the config leaves to the machine what jobs elsewhere must agree on."""
    open_keys = {
        "run": (config["run"], "would name the machine that starts the jobs, not the one that measures"),
        "threads": (config["threads"], "would be the cores of whatever node a job gets"),
        "robustness.device": (config["robustness"]["device"], "cannot tell whether to ask for a GPU"),
    }
    problems = [f"  - {key}: auto {why}" for key, (value, why) in open_keys.items() if value == "auto"]
    if problems:
        raise PoseGaugeError(
            "\n".join(
                [
                    "config: jobs run on other machines than this one, so these keys need a value:",
                    *problems,
                    "Say for example --config run=my-cluster threads=8 \"robustness={'device': 'cpu'}\"",
                ]
            )
        )


def minutes(limit: str) -> float | None:
    """Return one of Slurm's times ('30:00', '1-00:00:00') in minutes; None for 'infinite'."""
    if not re.fullmatch(r"(?:\d+-)?\d+(?::\d+){0,2}", limit):
        return None
    days, _, rest = limit.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if days or len(parts) == 3:  # hours first
        hours, mins, seconds = (*parts, 0, 0)[:3]
    else:
        hours, (mins, seconds) = 0, (*parts, 0)[:2]
    return int(days or 0) * 1440 + hours * 60 + mins + seconds / 60


# ---------------------------------------------------------------------------------------- what Slurm says


@dataclass
class Partition:
    """A partition: minutes that a job may take (None: any), takes jobs now, GPU models ('': unnamed)."""

    name: str
    default: bool = False
    minutes: float | None = None
    up: bool = True
    gpu_models: set[str] = field(default_factory=set)


def read_partitions(text: str) -> dict[str, Partition]:
    """Return {name: partition} of what `sinfo --noheader --format=%P|%l|%a|%G` prints."""
    found = {}
    for line in text.splitlines():
        name, limit, state, gres = line.strip().split("|")
        partition = found.setdefault(
            name.rstrip("*"), Partition(name.rstrip("*"), name.endswith("*"), minutes(limit), state == "up")
        )
        partition.gpu_models |= {
            model or "" for model in re.findall(r"\bgpu(?::([A-Za-z][^:,(]*))?(?::\d+)?", gres)
        }
    return found


def slurm(*words: str) -> str:
    """Return what a command of Slurm prints; PoseGaugeError when it is missing, fails or hangs."""
    if not shutil.which(words[0]):
        lacking = [name for name in COMMANDS if not shutil.which(name)]
        raise PoseGaugeError(
            f"Slurm: no command {', '.join(lacking)} on this machine. Start the run on a login node of the "
            "cluster (Debian's package is slurm-client), or without the profile slurm"
        )
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        raise PoseGaugeError(f"Slurm: {words[0]} does not answer; is the cluster up?") from None
    if done.returncode:
        raise PoseGaugeError(f"Slurm: {' '.join(words)} failed: {done.stderr.strip() or done.returncode}")
    return done.stdout


# ---------------------------------------------------------------------------------- before the first job


def check_slurm(jobs: Iterable[dict], status_command: str | None, chosen_elsewhere: bool = False) -> None:
    """Raise PoseGaugeError that lists why this cluster could never run `jobs`, or would hide their end.

    Args:
        jobs: {name, and of slurm_partition, runtime, gpu, gpu_model those that are asked for} of every job.
        status_command: "squeue" or "sacct", with which the plugin looks for the end of jobs.
        chosen_elsewhere: the plugin picks partitions from a file of its own where a job names none.
    """
    for name in COMMANDS:
        if not shutil.which(name):
            slurm(name)
    partitions = read_partitions(slurm("sinfo", "--noheader", "--format=%P|%l|%a|%G"))
    problems = {}
    for job in jobs:
        name = job.get("slurm_partition")
        if name or not chosen_elsewhere:
            for problem in _problems(job, partitions):
                problems.setdefault(problem, []).append(job["name"])
    lines = [f"  - {problem} (wanted by {_some(names)})" for problem, names in problems.items()]
    lines += [f"  - {problem}" for problem in _status_problems(status_command)]
    if lines:
        raise PoseGaugeError("\n".join(["Slurm: this cluster cannot run these jobs as asked:", *lines]))


def _some(names: list[str]) -> str:
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - 3} more" if len(names) > 4 else ""
    return ", ".join(names[:3] if more else names) + more


def _problems(job: dict, partitions: dict[str, Partition]) -> list[str]:
    name = job.get("slurm_partition")
    if name and name not in partitions:
        guess = nearest(name, list(partitions)) or f"; there are {', '.join(partitions)}"
        return [f"there is no partition '{name}'{guess}: set cluster.partition or cluster.gpu_partition"]
    default = next((partition for partition in partitions.values() if partition.default), None)
    partition = partitions[name] if name else default
    if partition is None:
        return [f"no partition is the default: set cluster.partition to one of {', '.join(partitions)}"]
    problems = []
    if not partition.up:
        problems.append(f"partition '{partition.name}' takes no jobs now (it is down or drained)")
    asked = job.get("runtime")
    if isinstance(asked, int) and partition.minutes is not None and asked > partition.minutes:
        problems.append(
            f"partition '{partition.name}' ends jobs after {partition.minutes:g} minutes, {asked} are asked "
            "for: set another cluster.partition, more shards, or --set-resources RULE:runtime=MINUTES"
        )
    model = job.get("gpu_model")
    if job.get("gpu") and not partition.gpu_models:
        problems.append(
            f"partition '{partition.name}' has no GPU: set cluster.gpu_partition; with cluster.gpus: false "
            "the rows that need one stay in the table as 'not run'"
        )
    elif model and model not in partition.gpu_models:
        models = ", ".join(sorted(filter(None, partition.gpu_models))) or "GPUs without a name"
        problems.append(
            f"partition '{partition.name}' has no GPU '{model}' but {models}: set cluster.gpu_model"
        )
    return problems


def _status_problems(command: str | None) -> list[str]:
    """Return a line where the end of jobs could be missed: the plugin would wait for ever."""
    shown = slurm("scontrol", "show", "config")
    accounting = re.search(r"^AccountingStorageType\s*=\s*(\S+)", shown, re.MULTILINE)
    kept = accounting is not None and not accounting[1].endswith("none")
    age = re.search(r"^MinJobAge\s*=\s*(\d+)", shown, re.MULTILINE)
    forgets = age is not None and int(age[1]) <= LONGEST_PAUSE_S
    if command == "sacct" and not kept:
        return ["this cluster keeps no accounts, so sacct knows no job: say --slurm-status-command squeue"]
    if command != "sacct" and forgets and kept:
        return [f"squeue forgets finished jobs after {age[1]} s: say --slurm-status-command sacct"]
    if command != "sacct" and forgets:
        return [
            f"squeue forgets finished jobs after {age[1]} s and no accounts are kept: ask the administrator "
            f"for a MinJobAge above {LONGEST_PAUSE_S}, or work inside one allocation, without the profile"
        ]
    return []


def cancel_left_jobs(folder) -> list[str]:
    """Cancel this user's jobs that a killed run of `folder` left behind; return their ids.

    Call it only while no other run works in that folder: they would write what this run is about to
    write, and disturb its measurements.
    """
    folder = str(Path(folder).resolve())
    left = []
    for line in slurm("squeue", "--noheader", "--me", "--format=%i|%j|%Z").splitlines():
        job, name, where = line.split("|", 2)
        if name.startswith(f"{JOB_PREFIX}_") and where == folder:
            left.append(job)
    if left:
        slurm("scancel", *left)
    return left
