"""What a machine draws while a row runs, by RAPL, NVML or tegrastats: joules by domain since it was opened.

A source that this machine lacks, or that this user may not read, raises Unavailable, whose text stands in the
table.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from posegauge.errors import Unavailable
from posegauge.measure import gpu_monitor

SOURCES = ("auto", "rapl", "nvml", "tegrastats", "none")

# The one place that says where the kernel shows RAPL's counters; tests put a folder of their own here.
POWERCAP = Path("/sys/class/powercap")

# How long tegrastats may take to its first line.
FIRST_LINE_S = 3.0


class Rapl:
    """The energy counters of Intel's and AMD's processors: all packages, and memory where it is counted.

    `core` and `uncore` are parts of a package and `psys` has it in it, so they are not added.
    """

    name, how = "rapl", "counter"
    # The counters move every millisecond. They wrap after some 65 kJ or 260 kJ, minutes at full power.
    update_s, least_s, look_s = 0.001, 1.0, 10.0

    def __init__(self):
        """Find the domains; Unavailable where there are none, or none that this user may read."""
        self._zones, found = {}, sorted(POWERCAP.glob("intel-rapl:*"), key=_numbers)
        names = {zone.name: (zone / "name").read_text(encoding="utf-8").strip() for zone in found}
        for zone in found:
            name = names[zone.name]
            if name == "dram":
                name = f"dram of {names.get(zone.name.rpartition(':')[0], zone.name)}"
            elif not name.startswith("package"):
                continue
            self._zones[name] = zone
        if not self._zones:
            raise Unavailable(
                f"RAPL: {POWERCAP} has no energy counter (a virtual machine, a container, or a processor or "
                "kernel without it)"
            )
        self._joules = dict.fromkeys(self._zones, 0.0)
        self._last = {name: self._read(zone / "energy_uj") for name, zone in self._zones.items()}
        self._ranges = {name: self._read(zone / "max_energy_range_uj") for name, zone in self._zones.items()}

    @staticmethod
    def _read(path: Path) -> int:
        try:
            return int(path.read_text(encoding="ascii"))
        except PermissionError:
            raise Unavailable(
                f"RAPL: {path} may be read by root alone; until the machine starts again this changes it: "
                f"sudo chmod a+r {POWERCAP}/intel-rapl:*/energy_uj (for good: docs/energy.md)"
            ) from None
        except (OSError, ValueError) as error:
            raise Unavailable(f"RAPL: {path} cannot be read ({error})") from None

    def joules(self) -> dict[str, float]:
        """Return the joules of each domain since it was opened; ask at least once per round of a counter."""
        for name, zone in self._zones.items():
            value = self._read(zone / "energy_uj")
            step = value - self._last[name]
            self._joules[name] += (step if step >= 0 else step + self._ranges[name]) / 1e6
            self._last[name] = value
        return dict(self._joules)

    def close(self) -> None:
        """Nothing is held open."""


def _numbers(zone: Path) -> list[int]:
    return [int(part) for part in zone.name.split(":")[1:] if part.isdigit()]


class _Sampled:
    """Joules from watts that are seen now and then: each stands for the time since the one before."""

    def __init__(self, watts: dict[str, float]):
        self._watts = watts
        self._joules = dict.fromkeys(watts, 0.0)
        self._then = time.perf_counter()

    def add(self, seen: list[dict[str, float]]) -> dict[str, float]:
        """Count the time since the last call with the mean of what was seen, or as before without any."""
        if seen:
            self._watts = {name: sum(watts[name] for watts in seen) / len(seen) for name in self._watts}
        now = time.perf_counter()
        for name, watts in self._watts.items():
            self._joules[name] += watts * (now - self._then)
        self._then = now
        return dict(self._joules)


class Nvml:
    """CUDA's first device: its energy counter (Volta and newer), or else its power, seen between the runs."""

    name, domain = "nvml", "GPU"

    def __init__(self):
        """Find the GPU; Unavailable without one, without NVML, or where it tells neither energy nor power."""
        bus_id = gpu_monitor.pci_bus_id()
        if bus_id is None:
            raise Unavailable("NVML: no CUDA device")
        try:
            import pynvml
        except ImportError:
            raise Unavailable("NVML: the package nvidia-ml-py is not installed") from None
        self._nvml = pynvml
        try:
            pynvml.nvmlInit()
            self._gpu = pynvml.nvmlDeviceGetHandleByPciBusId(bus_id)
        except pynvml.NVMLError as error:
            raise Unavailable(f"NVML: {error}") from None
        try:
            self._start_j, self._sampled = self._counter_j(), None
            # The counter moves every 20 to 100 ms, by GPU and driver.
            self.how, self.update_s, self.least_s, self.look_s = "counter", 0.1, 5.0, 10.0
        except (pynvml.NVMLError, AttributeError):
            try:
                self._sampled = _Sampled({self.domain: self._watts()})
            except pynvml.NVMLError as error:
                raise Unavailable(f"NVML: the GPU tells neither energy nor power ({error})") from None
            # The power that it tells is a mean over up to a second.
            self.how, self.update_s, self.least_s, self.look_s = "samples", 1.0, 10.0, 0.1

    def _counter_j(self) -> float:
        return self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._gpu) / 1e3

    def _watts(self) -> float:
        return self._nvml.nvmlDeviceGetPowerUsage(self._gpu) / 1e3

    def joules(self) -> dict[str, float]:
        """Return the joules of the GPU since it was opened."""
        try:
            if self._sampled:
                return self._sampled.add([{self.domain: self._watts()}])
            return {self.domain: self._counter_j() - self._start_j}
        except self._nvml.NVMLError as error:
            raise Unavailable(f"NVML: {error}") from None

    def close(self) -> None:
        """NVML stays open: the monitor of the GPU uses it, too."""


# 'VDD_IN 4857mW/4857mW' (now/mean); up to JetPack 4 'VDD_IN 3875/3875'. RAM, SWAP and IRAM end in MB or kB.
RAIL = re.compile(r"(?<!\S)([A-Z][A-Z0-9_]*) (-?\d+)(?:mW(?:/-?\d+mW)?|/-?\d+)(?!\S)")

# Rails with all others in them: of the module (Orin NX and Nano, Xavier NX), of the board (Thor, Nano).
WHOLE = ("VDD_IN", "VIN", "POM_5V_IN")


def rails(line: str) -> dict[str, float]:
    """Return the watts by rail of one line of tegrastats: the one that has all in it, or else each of them.

    AGX Orin and AGX Xavier have no such rail. A rail that is not connected (NC) is none.
    """
    found = {name: int(milliwatts) / 1e3 for name, milliwatts in RAIL.findall(line) if name != "NC"}
    whole = next((name for name in WHOLE if name in found), None)
    return {whole: found[whole]} if whole else found


class Tegrastats:
    """The power rails of a Jetson, which NVIDIA's tegrastats shows ten times a second."""

    name, how = "tegrastats", "samples"
    update_s, least_s, look_s = 0.1, 10.0, 1.0

    def __init__(self):
        """Start the program; Unavailable without it, or where it shows no rail."""
        program = shutil.which("tegrastats")
        if program is None:
            raise Unavailable("tegrastats: no such program (it comes with the system of a Jetson)")
        command = [program, "--interval", str(round(self.update_s * 1e3))]
        self._program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        os.set_blocking(self._program.stdout.fileno(), False)
        self._text, end = b"", time.perf_counter() + FIRST_LINE_S
        while not (seen := self._seen()) and time.perf_counter() < end and self._program.poll() is None:
            time.sleep(self.update_s / 2)
        if not seen:
            self.close()
            raise Unavailable("tegrastats: shows no power rail; it may need root")
        self._sampled = _Sampled(seen[-1])

    def _seen(self) -> list[dict[str, float]]:
        """Return what the lines say that have come since the last call."""
        while part := self._program.stdout.read():
            self._text += part
        *lines, self._text = self._text.split(b"\n")
        return [watts for line in lines if (watts := rails(line.decode("utf-8", "replace")))]

    def joules(self) -> dict[str, float]:
        """Return the joules of each rail since it was opened."""
        seen = self._seen()
        if not seen and self._program.poll() is not None:
            raise Unavailable("tegrastats: ended before the row did")
        return self._sampled.add(seen)

    def close(self) -> None:
        """End the program."""
        self._program.kill()
        self._program.wait()
        self._program.stdout.close()


BY_NAME = {"rapl": Rapl, "nvml": Nvml, "tegrastats": Tegrastats}


def refusal(source: str) -> str | None:
    """Say why the source that the config names cannot be used on this machine; None where it can."""
    if source not in BY_NAME:
        return None
    try:
        BY_NAME[source]().close()
    except Unavailable as error:
        return f"energy.source: is {source}, but {error}; say auto, which takes what there is, or none"
    return None


def meter(source: str, device: str) -> "Meter":
    """Return what measures a row on `device` (cpu or cuda) with the config's energy.source.

    auto: tegrastats on a Jetson, whose rails have all in them; else RAPL for the CPU, and for the GPU NVML,
    with RAPL beside it where it can be read. A meter that measures nothing has its `reason`.
    """
    try:
        if source == "none":
            raise Unavailable("energy.source is none")
        if source == "auto" and shutil.which("tegrastats"):
            source = "tegrastats"
        if source == "tegrastats":
            return Meter([Tegrastats()])
        if device == "cpu":
            if source == "nvml":
                raise Unavailable("energy.source is nvml, which counts the GPU alone")
            return Meter([Rapl()])
        if source == "rapl":
            raise Unavailable("energy.source is rapl, which counts the processor alone")
        gpu = Nvml()
    except Unavailable as error:
        return Meter([], str(error))
    try:
        return Meter([gpu, *([Rapl()] if source == "auto" else [])])
    except Unavailable as error:
        return Meter([gpu], without=f"the processor ({error})")


class Meter:
    """Joules of a row: first idle, then while it runs. Without sources it does nothing; `reason` says why."""

    def __init__(self, sources: list, reason: str | None = None, without: str | None = None):
        """sources: of this module. without: what of the row they do not count, and why."""
        self.sources, self.reason, self.without = sources, reason, without
        self.about = [{"source": one.name, "how": one.how, "update_s": one.update_s} for one in sources]
        self.least_s = max((one.least_s for one in sources), default=0.0)
        self._look_s = min((one.look_s for one in sources), default=0.0)
        self._idle = self._busy = None
        self._first, self._begin, self._looked = {}, 0.0, 0.0

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, *_) -> None:
        self._give_up(self.reason)

    def _give_up(self, reason: str | None) -> None:
        for source in self.sources:
            source.close()
        self.sources, self.reason = [], reason

    def _joules(self) -> dict[str, float]:
        """Return the joules of all domains; where a source fails, the meter has a reason and stops."""
        try:
            return {domain: joules for one in self.sources for domain, joules in one.joules().items()}
        except Unavailable as error:
            self._give_up(str(error))
            return {}

    def _since_begin(self) -> dict:
        now = self._joules()
        spent = {domain: joules - self._first[domain] for domain, joules in now.items()}
        return {"seconds": time.perf_counter() - self._begin, "joules": spent}

    def start(self) -> None:
        """Count from here."""
        self._first = self._joules()
        self._begin = self._looked = time.perf_counter()

    def look(self) -> None:
        """Read the sources if it is time: sampled ones must be seen, counters must not go round unseen."""
        now = time.perf_counter()
        if self.sources and now - self._looked >= self._look_s:
            self._joules()
            self._looked = now

    def idle(self, seconds: float) -> None:
        """Measure for so long what is drawn without the row; waits only where it can be measured."""
        if not self.sources:
            return
        self.start()
        end = self._begin + seconds
        while (left := end - time.perf_counter()) > 0:
            time.sleep(min(left, self._look_s))
            self.look()
        self._idle = self._since_begin()

    def stop(self, frames: int, run: Callable[[], object]) -> None:
        """End the count of `frames` runs, after further ones until the sources' shortest time is over."""
        while self.sources and time.perf_counter() - self._begin < self.least_s:
            run()
            frames += 1
        if self.sources:
            self._busy = {"frames": frames} | self._since_begin()
        if self.sources and not any(self._busy["joules"].values()):
            self._give_up(f"{self.sources[0].name}: its counters stand still")

    def record(self) -> dict:
        """Return `energy` of a process in latency.schema.yaml."""
        if self.reason is not None or self._idle is None or self._busy is None:
            return {"reason": self.reason or "what is drawn idle was not measured"}
        return {
            "reason": None,
            "sources": self.about,
            "without": self.without,
            "idle": self._idle,
            "busy": self._busy,
        }
