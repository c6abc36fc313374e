"""What machine a figure was measured on: a fingerprint to store with it, and short names made from it.

Privacy: neither the machine's nor the user's name, no serial number, address or path is recorded, so that
result files can be published as they are.
"""

import csv
import os
import platform
import re
import resource
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import psutil

from posegauge.errors import Unavailable

# nvidia-smi field -> (key, type)
GPU_FIELDS = {
    "index": ("index", int),
    "name": ("name", str),
    "driver_version": ("driver_version", str),
    "memory.total": ("memory_mib", int),
    "clocks.sm": ("sm_clock_mhz", int),
    "temperature.gpu": ("temperature_c", int),
    "power.draw": ("power_w", float),
}


# Instructions that sum products of 8 bits in 32, as /proc/cpuinfo names them.
EXACT_INT8 = ("avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8")


# What multiplies bfloat16: AMX, AVX-512 BF16, and Arm's own.
BF16 = ("amx_bf16", "avx512_bf16", "bf16")


def fingerprint() -> dict:
    """Return a description of this machine and of its state now; call it inside the job that measures.

    Keys: cpu {model, architecture, physical_cores, logical_cores, usable_cores (those this process may run
    on), quota_cores (of a container, or None), governor, frequency_mhz}, memory_bytes, load_average
    [1, 5, 15 min], os, kernel, python, container, virtual_machine (None when unknown), and gpus, a list of
    {index, name, driver_version, memory_mib, sm_clock_mhz, temperature_c, power_w}. What cannot be read is
    None. No host or user name.
    """
    return {
        "cpu": {
            "model": _cpu_model(),
            "architecture": platform.machine(),
            "physical_cores": psutil.cpu_count(logical=False),
            "logical_cores": psutil.cpu_count(),
            "usable_cores": usable_cores(),
            "quota_cores": _quota_cores(),
            "governor": _line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            "frequency_mhz": _frequency_mhz(),
        },
        "memory_bytes": psutil.virtual_memory().total,
        "load_average": [round(value, 2) for value in psutil.getloadavg()],
        "os": _os_name(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "container": _container(),
        "virtual_machine": _virtual_machine(),
        "gpus": _gpus(),
    }


def state() -> dict:
    """Return what of the host changes while it works: load_average [1, 5, 15 min], frequency_mhz (mean)."""
    return {
        "load_average": [round(value, 2) for value in psutil.getloadavg()],
        "frequency_mhz": _frequency_mhz(present=True),
    }


def memory_peak_mib() -> float:
    """Return the most memory that this process had in RAM so far, in MiB (its resident set)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)  # bytes there, KiB elsewhere


def usable_cores() -> int:
    """Return the number of logical cores that this process may run on."""
    return len(cores_by_number()) or os.cpu_count() or 1


def cores_by_number() -> list[int]:
    """Return the numbers of the logical cores that this process may run on; [] where none can be told."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def exact_int8() -> bool:
    """Say whether this processor sums INT8 products without loss: x86 with VNNI or AMX, and others.

    Without them x86 adds two products of 8 bits in 16 (vpmaddubsw), where 255 * 127 * 2 does not fit.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    return any(flag in EXACT_INT8 for flag in _cpu_flags())


def bf16_instructions() -> list[str]:
    """Return the instruction sets of this processor that multiply bfloat16, by the names of Linux."""
    return [flag for flag in BF16 if flag in _cpu_flags()]


def require_bf16() -> None:
    """Raise Unavailable where the processor would only imitate bfloat16."""
    if not bf16_instructions():
        raise Unavailable(f"the processor has no instructions for bfloat16 ({', '.join(BF16)})")


def _cpu_flags() -> list[str]:
    """Return what the processor can do, by the names of Linux; nothing where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return []
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return found[1].split() if found else []


def versions(*packages: str) -> dict[str, str]:
    """Return {package: version} of the given distributions; one that is not installed is absent."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_revision(root) -> str | None:
    """Return the commit of the repository at `root`, with '-dirty' when a tracked file differs from it.

    Changes of *.md files do not count: the workflow itself writes results into README.md.
    None without git, or when `root` is not the top of a repository (an unpacked archive inside another one).
    """
    root = Path(root).resolve()
    top = _output("git", "-C", str(root), "rev-parse", "--show-toplevel")
    revision = _output("git", "-C", str(root), "rev-parse", "HEAD")
    if not top or not revision or Path(top).resolve() != root:
        return None
    changes = _output(
        "git", "-C", str(root), "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)*.md"
    )
    return f"{revision}-dirty" if changes else revision


def slug(machine: dict) -> str:
    """Return a short name for folders: the GPU's ('nvidia-t4'), else the CPU's ('intel-xeon-8481c-2c')."""
    if machine["gpus"]:
        name = _short(machine["gpus"][0]["name"])
        name = name if name.lower().startswith("nvidia") else f"nvidia {name}"
    else:
        name = f"{_short(machine['cpu']['model'] or 'cpu')} {machine['cpu']['usable_cores']}c"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def describe(machine: dict) -> str:
    """Return one line for readers: 'Intel Xeon 8481C, 2 cores, 24 GiB, no GPU'."""
    cpu, cores = machine["cpu"], machine["cpu"]["usable_cores"]
    parts = [
        _short(cpu["model"] or "unknown CPU"),
        f"{cores} core{'s' if cores != 1 else ''}",
        f"{machine['memory_bytes'] / 2**30:.0f} GiB",
    ]
    counts = {}
    for gpu in machine["gpus"]:
        counts[gpu["name"]] = counts.get(gpu["name"], 0) + 1
    gpus = [f"{number} x {name}" if number > 1 else name for name, number in counts.items()]
    return ", ".join([*parts, *gpus] if gpus else [*parts, "no GPU"])


def identity(machine: dict) -> dict:
    """Return what of a fingerprint does not change while a run is made."""
    stable = {key: value for key, value in machine.items() if key not in ("load_average", "cpu", "gpus")}
    cpu = {key: value for key, value in machine["cpu"].items() if key != "frequency_mhz"}
    return {**stable, "cpu": cpu, "gpus": [gpu["name"] for gpu in machine["gpus"]]}


def compare(records: list[dict]) -> dict:
    """Say whether the jobs of a run were measured on the same hardware.

    Compared is what stays as it is: processor, cores and memory of all jobs; model, memory and driver of
    the GPUs of those that ran on one. Load, clock rate and temperature do not count.

    Args:
        records: result files (latency, roofline, predictions or scores, parity, throughput). A row that did
            not run does not count.

    Returns:
        {"same": bool, "processors": groups, "gpus": groups}, each group {"hardware": text, "jobs": names},
        the largest first.
    """
    processors, gpus = {}, {}
    for record in records:
        parts = [record, *record.get("ways", [])]  # the other programs have a status each
        if not any(part.get("status", "ok") == "ok" for part in (parts[1:] or parts)):
            continue
        job, provenance = _job(record), record["provenance"]
        device = record.get("device") or (provenance.get("backend") or {}).get("device") or "cpu"
        for machine in provenance.get("machines") or [provenance["machine"]]:
            processors.setdefault(_processor(machine), []).append(job)
            if device.startswith("cuda"):
                gpus.setdefault(_gpu_names(machine), []).append(job)
    return {
        "same": len(processors) <= 1 and len(gpus) <= 1,
        "processors": _groups(processors),
        "gpus": _groups(gpus),
    }


def difference(comparison: dict) -> str | None:
    """Return a warning that names the jobs on other hardware than most (see compare), or None."""
    told = []
    for groups in (comparison["processors"], comparison["gpus"]):
        if len(groups) > 1:
            most, *others = groups
            rest = "; ".join(f"{group['hardware']}: {', '.join(group['jobs'])}" for group in others)
            told.append(f"{most['hardware']} ({len(most['jobs'])} jobs), but {rest}")
    return f"not all jobs ran on the same hardware: {'. '.join(told)}" if told else None


def _job(record: dict) -> str:
    """Return the name of the rule that made a result file."""
    for prefix, key in (("measure", "benchmark"), ("check_parity", "artifact"), ("predict", "condition")):
        if key in record:
            return f"{prefix}_{record[key]}"
    return f"measure_{record['kind']}"


def _processor(machine: dict) -> str:
    cpu = machine["cpu"]
    cores = cpu.get("logical_cores") or cpu["usable_cores"]
    physical = f" ({cpu['physical_cores']} physical)" if cpu.get("physical_cores") else ""
    return (
        f"{cpu['model'] or 'unknown CPU'}, {cores} cores{physical}, {machine['memory_bytes'] / 2**30:.0f} GiB"
    )


def _gpu_names(machine: dict) -> str:
    names = [
        f"{gpu['name']} ({gpu.get('memory_mib')} MiB, driver {gpu.get('driver_version')})"
        for gpu in machine["gpus"]
    ]
    return " + ".join(sorted(names)) or "no GPU seen"


def _groups(found: dict[str, list[str]]) -> list[dict]:
    groups = [{"hardware": text, "jobs": sorted(set(jobs))} for text, jobs in found.items()]
    return sorted(groups, key=lambda group: (-len(group["jobs"]), group["hardware"]))


def _short(name: str) -> str:
    """Return a processor's name without trademark signs, clock rate and words that say nothing."""
    name = re.sub(r"\((?:R|TM|C)\)|[®™]", " ", name, flags=re.IGNORECASE)
    name = re.sub(r"@.*|\bw(?:/|ith) .*Graphics.*|\b\d+-Core\b", " ", name, flags=re.IGNORECASE)
    short = re.sub(r"\b(?:CPU|Processor|\d+th Gen|Virtual)\b", " ", name, flags=re.IGNORECASE)
    return " ".join((short if short.strip() else name).split())


def _line(path) -> str | None:
    """Return the first line of a small file, or None."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip() or None
    except OSError:
        return None


def _output(*command: str, timeout_s: float = 20) -> str | None:
    """Return what a command prints, or None when it is missing, fails or hangs."""
    if not shutil.which(command[0]):
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_model() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor() or None
    # x86 says "model name"; some ARM boards "Model" or "Hardware" (the board) or nothing.
    for key in ("model name", "Model", "Hardware"):
        if found := re.search(rf"^{key}\s*:\s*(\S.*)$", text, re.MULTILINE):
            return found.group(1).strip()
    return platform.processor() or platform.machine() or None


def _frequency_mhz(present: bool = False) -> int | None:
    """Return the highest clock rate; the present one if asked, or all there is (virtual machines)."""
    try:
        frequency = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):
        return None
    if not frequency:
        return None
    return round((not present and frequency.max) or frequency.current) or None


def _quota_cores() -> float | None:
    """Return the processor time that a container may use, in cores (control groups version 2), or None."""
    quota, _, period = (_line("/sys/fs/cgroup/cpu.max") or "").partition(" ")
    return round(int(quota) / int(period), 2) if quota.isdigit() and period.isdigit() else None


def _os_name() -> str:
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _container() -> str | None:
    for marker, name in (("/.dockerenv", "docker"), ("/run/.containerenv", "podman")):
        if Path(marker).exists():
            return name
    if "APPTAINER_CONTAINER" in os.environ or "SINGULARITY_CONTAINER" in os.environ:
        return "apptainer"
    return "kubernetes" if "KUBERNETES_SERVICE_HOST" in os.environ else None


def _virtual_machine() -> str | None:
    """Return the product name of a virtual machine, 'yes' when only the CPU tells that it is one, or None."""
    vendor = _line("/sys/class/dmi/id/sys_vendor") or ""
    product = _line("/sys/class/dmi/id/product_name") or ""
    known = ("qemu", "kvm", "vmware", "virtualbox", "xen", "google", "amazon ec2", "microsoft", "openstack")
    text = f"{vendor} {product}".strip()
    try:
        hypervisor = " hypervisor" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    if hypervisor:
        return text if any(name in text.lower() for name in known) else "yes"
    return None


def _gpus() -> list[dict]:
    """Return the NVIDIA GPUs that nvidia-smi shows and CUDA_VISIBLE_DEVICES does not hide."""
    text = _output("nvidia-smi", f"--query-gpu={','.join(GPU_FIELDS)}", "--format=csv,noheader,nounits")
    gpus = [_gpu(row) for row in csv.reader((text or "").splitlines(), skipinitialspace=True) if row]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return gpus
    numbers = [number.strip() for number in visible.split(",")]
    if numbers in ([""], ["-1"]):
        return []
    if all(number.isdigit() for number in numbers):
        return [gpu for gpu in gpus if str(gpu["index"]) in numbers]
    return gpus


def _gpu(row: list[str]) -> dict:
    """Return one line of nvidia-smi's table as a dict; '[N/A]' and the like become None."""
    gpu = {}
    for (key, kind), value in zip(GPU_FIELDS.values(), row, strict=False):
        try:
            gpu[key] = kind(value.strip())
        except ValueError:
            gpu[key] = None
    return gpu
