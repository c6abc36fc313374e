"""The state of the GPU while a row is measured, by NVML: clocks, temperature, power, throttling, memory.

The measuring thread itself looks, between two timed runs and a few times a second: a look takes milliseconds,
and a thread of its own would put them into the times of some runs.
"""

import ctypes
import os
import sys
import time

INTERVAL_S = 0.25


MIB = 2**20


# Bits of NVML's clocks event reasons (nvml.h): why the clocks are below what they could be.
THROTTLE_REASONS = {
    0x1: "idle",
    0x2: "application clocks setting",
    0x4: "software power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
    0x100: "display clock setting",
    0x200: "board limit",
    0x400: "reliability",
}


# Not a brake: nothing to do at that moment, or clocks that somebody fixed on purpose.
HARMLESS = ("idle", "application clocks setting")


def throttle_reasons(mask: int) -> list[str]:
    """Return the names of the bits in NVML's mask of clocks event reasons; unknown bits as one hex number."""
    names = [name for bit, name in THROTTLE_REASONS.items() if mask & bit]
    unknown = mask & ~sum(THROTTLE_REASONS)
    return [*names, hex(unknown)] if unknown else names


def pci_bus_id() -> str | None:
    """Return the PCI bus id of CUDA's first device, or None.

    The numbers of CUDA and of NVML differ (CUDA_VISIBLE_DEVICES, CUDA_DEVICE_ORDER); the bus id is the same.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, text = ctypes.c_int(), ctypes.create_string_buffer(32)
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    return None if driver.cuDeviceGetPCIBusId(text, len(text), device) else text.value.decode()


def watch(device: str) -> "Monitor | None":
    """Return a monitor of CUDA's first device for "cuda"; None for the CPU or where there is no GPU."""
    bus_id = pci_bus_id() if device == "cuda" else None
    return Monitor(bus_id) if bus_id else None


class Monitor:
    """Samples of one GPU's state. What the driver does not tell is None; without NVML `reason` says why."""

    def __init__(self, bus_id: str, interval_s: float = INTERVAL_S):
        """Look up the GPU; make it before the networks are loaded, so that their memory can be told."""
        self.interval_s = interval_s
        self.samples, self.facts, self.reason = [], {}, None
        self._begin, self._last = time.perf_counter(), None
        try:
            import pynvml
        except ImportError:
            self.reason = "the package nvidia-ml-py is not installed"
            return
        self._nvml = pynvml
        try:
            pynvml.nvmlInit()
            self._gpu = pynvml.nvmlDeviceGetHandleByPciBusId(bus_id)
        except pynvml.NVMLError as error:
            self.reason = f"NVML: {error}"
            return
        milliwatt = self._ask("nvmlDeviceGetEnforcedPowerLimit")
        self.facts = {
            "name": self._text(self._ask("nvmlDeviceGetName")),
            "sm_clock_max_mhz": self._ask("nvmlDeviceGetMaxClockInfo", pynvml.NVML_CLOCK_SM),
            "memory_clock_max_mhz": self._ask("nvmlDeviceGetMaxClockInfo", pynvml.NVML_CLOCK_MEM),
            "power_limit_w": None if milliwatt is None else milliwatt / 1e3,
            "memory_used_before_mib": self._memory_used(),
        }

    def _ask(self, function: str, *arguments):
        """Call one NVML function on the GPU; None where the driver or the GPU does not have it."""
        try:
            return getattr(self._nvml, function)(self._gpu, *arguments)
        except (self._nvml.NVMLError, AttributeError):
            return None

    @staticmethod
    def _text(name) -> str | None:
        return name.decode() if isinstance(name, bytes) else name

    def _memory_used(self) -> float | None:
        info = self._ask("nvmlDeviceGetMemoryInfo")
        return None if info is None else info.used / MIB

    def _process_memory(self) -> float | None:
        """Return what NVML says this process holds in MiB; None in a container that hides process numbers."""
        for process in self._ask("nvmlDeviceGetComputeRunningProcesses") or []:
            if process.pid == os.getpid() and process.usedGpuMemory is not None:
                return process.usedGpuMemory / MIB
        return None

    def sample(self, force: bool = False) -> None:
        """Look at the GPU, unless the last look was less than the interval ago."""
        now = time.perf_counter()
        if self.reason or (not force and self._last is not None and now - self._last < self.interval_s):
            return
        nvml = self._nvml
        # Older drivers know the reasons by their old name only.
        mask = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if mask is None:
            mask = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        milliwatt = self._ask("nvmlDeviceGetPowerUsage")
        self.samples.append(
            {
                "after_s": round(now - self._begin, 3),
                "sm_clock_mhz": self._ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
                "memory_clock_mhz": self._ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM),
                "temperature_c": self._ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
                "power_w": None if milliwatt is None else milliwatt / 1e3,
                "throttle": None if mask is None else throttle_reasons(mask),
                "memory_used_mib": self._memory_used(),
                "process_memory_mib": self._process_memory(),
            }
        )
        self._last = time.perf_counter()

    def record(self) -> dict:
        """Return what was seen, as `gpu` of a process in latency.schema.yaml."""
        return {"reason": self.reason, **self.facts, "samples": self.samples}

    def memory_peak(self) -> tuple[float | None, str | None]:
        """Return the largest memory seen in MiB, and what it is of.

        "process": what NVML says this process holds. "growth": all memory in use on the GPU, less what was in
        use before the networks were loaded; other programs' changes are in it.
        """
        own = [seen["process_memory_mib"] for seen in self.samples if seen["process_memory_mib"] is not None]
        if own:
            return max(own), "process"
        used = [seen["memory_used_mib"] for seen in self.samples if seen["memory_used_mib"] is not None]
        before = self.facts.get("memory_used_before_mib")
        if used and before is not None:
            return max(used) - before, "growth"
        return None, None


def torch_memory_peak() -> float | None:
    """Return the most MiB that PyTorch held in tensors on the GPU; None where it did not run there."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return torch.cuda.max_memory_allocated() / MIB
