"""A first run on a GPU in ten minutes: `make gpu-trial`.

It goes through the steps of posegauge/compare/trial.py, the one that says most first. Each has its own time:
one that takes longer is cut, and the next begins. Started again, it goes on where it stopped: with what was
never begun, then with what was cut or failed. It ends with a page of what ran, what did not and why, with the
tables and figures of that (results/gpu-trial/trial.md), and packs the small files of both runs into
results/gpu-trial/records.zip. Without a GPU every line says so, within seconds.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent / "scripts"))

from posegauge.backends.base import cuda_devices
from posegauge.compare import trial
from posegauge.errors import PoseGaugeError
from posegauge.store import machine
from posegauge.store.files import read_json, write_json

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = Path("results") / trial.ROWS
STATE, SMOKE = FOLDER / "trial.json", FOLDER / "smoke.json"
PAGE, PACKED = FOLDER / trial.PAGE, FOLDER / trial.ARCHIVE
# With less left, a step is not begun.
LEAST_S = 15
# For Snakemake to end its jobs after Ctrl-C, before all are killed.
GRACE_S = 15


def main(words: list[str]) -> int:
    """Run the trial; 0 whatever ran, 2 for wrong arguments."""
    given = arguments(words)
    plan = trial.steps(*(benchmarks(files[-1]) for files in trial.CONFIGS.values()))
    revision = machine.git_revision(REPOSITORY)
    if unknown := set(given.steps) - {step.name for step in plan}:
        print(
            f"No step {', '.join(sorted(unknown))}; there are: {', '.join(step.name for step in plan)}",
            file=sys.stderr,
        )
        return 2
    known = {} if given.anew else earlier()
    if given.page:
        finish(plan, known.get("steps", {}))
        return 0
    states = known["steps"] if known and known.get("git_revision") == revision else {}
    if known and not states:
        print("The code has another revision than at the last call: every step is gone through again.")
    end = time.monotonic() + given.minutes * 60
    device = cuda_devices() > 0
    try:
        for number, step in in_order(plan, states, given.steps):
            left = end - time.monotonic()
            print(f"[{number}/{len(plan)}] {step.title} ", end="", flush=True)
            if step.run and not device and not given.rehearse:
                states[step.name] = {"status": "no device", "seconds": 0.0, "log": None}
            elif left < LEAST_S:
                print("- no time left")
                continue
            else:
                limit_s = min(step.limit_s, left)
                print(f"(at most {limit_s:.0f} s) ", end="", flush=True)
                log = FOLDER / "logs" / f"trial_{step.name}.log"
                status, seconds = run(command(step, given.cores), limit_s, log)
                states[step.name] = {"status": status, "seconds": round(seconds, 1), "log": str(log)}
            write_json(STATE, {"git_revision": revision, "steps": states})
            print(f"- {states[step.name]['status']}, {states[step.name]['seconds']:.0f} s", flush=True)
    except KeyboardInterrupt:
        print("\nStopped; what was measured stays.")
    finish(plan, states)
    return 0


def arguments(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10, help="for all steps of this call [10]")
    parser.add_argument("--cores", default="all", help="processor cores to use [all]")
    parser.add_argument("--steps", nargs="+", default=[], metavar="STEP", help="these alone, done ones again")
    parser.add_argument("--page", action="store_true", help="run nothing, write the page anew")
    parser.add_argument("--rehearse", action="store_true", help="go through the steps though there is no GPU")
    parser.add_argument("--anew", action="store_true", help="forget what earlier calls did")
    return parser.parse_args(words)


def benchmarks(config: str) -> list[str]:
    """Return the rows that a config file of the repository names."""
    return yaml.safe_load((REPOSITORY / config).read_text(encoding="utf-8"))["benchmarks"]


def earlier() -> dict:
    """Return what earlier calls left in STATE; nothing where there is none, or it is not whole."""
    try:
        found = read_json(STATE)
    except PoseGaugeError:
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("steps"), dict) else {}


def in_order(plan: list[trial.Step], states: dict, asked=()) -> list[tuple[int, trial.Step]]:
    """Return (place, step) of the steps to do: those never begun first, then those cut or failed.

    The smoke checks, which take seconds, are made in any case: what they tell of is a matter of the moment.
    asked: names of the only steps to do, in the order of the plan, though they may be done.
    """
    if asked:
        return [item for item in enumerate(plan, 1) if item[1].name in asked]
    status = {step.name: states.get(step.name, {}).get("status") for step in plan}
    to_do = [item for item in enumerate(plan, 1) if item[1].run is None or status[item[1].name] != "ok"]
    return sorted(to_do, key=lambda item: bool(item[1].run) and status[item[1].name] in ("cut", "failed"))


def command(step: trial.Step, cores: str) -> list[str]:
    """Return the command of a step."""
    if step.run is None:
        library = str(REPOSITORY / "workflow" / "scripts")
        code = "import sys; sys.path.insert(0, sys.argv[1]); from posegauge.measure import gpu_smoke; "
        return [sys.executable, "-c", code + "gpu_smoke.write(sys.argv[2])", library, str(SMOKE)]
    # A failed row stops no other, and what a cut one left half made is made again.
    options = ["--cores", cores, "--keep-going", "--rerun-incomplete"]
    return [
        sys.executable, "workflow/run.py", *step.targets, *options, "--configfile", *trial.CONFIGS[step.run],
    ]  # fmt: skip


def run(words: list[str], limit_s: float, log: Path) -> tuple[str, float]:
    """Run a command in a group of processes of its own, its output to `log`.

    Returns ("ok", "failed" or "cut", seconds). Past the limit all of the group are told to stop as by Ctrl-C,
    so that Snakemake takes back half made files; those that are still there after GRACE_S are killed. The
    same is done when this program is stopped.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    with log.open("ab") as file:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        status = "cut"
        try:
            status = "ok" if process.wait(limit_s) == 0 else "failed"
        except subprocess.TimeoutExpired:
            pass
        finally:
            stop(process)
    return status, time.monotonic() - begin


def stop(process: subprocess.Popen) -> None:
    """End a process and all others of its group; return when they are gone."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        end = time.monotonic() + GRACE_S
        while alive(process) and time.monotonic() < end:
            time.sleep(0.05)
        if not alive(process):
            return


def alive(process: subprocess.Popen) -> bool:
    """Say whether a process or another one of its group is left."""
    process.poll()  # so that it is none of the living when it has ended
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group of which all have ended
        return process.returncode is None
    return True


def finish(plan: list[trial.Step], states: dict) -> None:
    """Write the page and the archive of what there is, and say what to do with them."""
    checks = read_json(SMOKE) if SMOKE.is_file() else []
    measured = [row["provenance"]["machine"] for row in trial.records()[0].latency if row["status"] == "ok"]
    # With rows the page tells of the machine that measured them.
    here = f"Machine: {machine.describe(machine.fingerprint())}."
    content = trial.text(trial.table(plan, states, checks), plan, states, [] if measured else [here])
    trial.write_page(content)
    left = trial.pack(PACKED)
    print(f"\n{content}\n\nPage: {PAGE}")
    print(f"To attach to a report: {PACKED} ({PACKED.stat().st_size / 1e6:.1f} MB)")
    if left:
        print(f"No room in it for {len(left)} files, the first: {left[0]}")
    done = ("ok", "no device")
    if waiting := [step.name for step in plan if states.get(step.name, {}).get("status") not in done]:
        print(f"Not done: {', '.join(waiting)}. `make gpu-trial` again goes on there.")
    if measured:
        print(f"To publish it: make publish RUN={trial.ROWS} PAGE={machine.slug(measured[0])} SHOW=gpu")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
