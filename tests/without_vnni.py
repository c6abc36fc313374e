"""Run tests on an emulated processor: AVX2, and none of AVX-512, VNNI or AMX.

python tests/without_vnni.py [pytest's arguments]; needs qemu-x86_64 7.2 or newer (Debian: qemu-user).
Processes that a test starts run on the real processor.
"""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

CPU = "Haswell"
# Where the sums of eight bits matter, and the comparison with MMPose's own inferencer.
TESTS = ("openvino_backend", "precision", "int8_search", "protocol")
FILES = [f"tests/unit/test_{name}.py" for name in TESTS]
NEWER = r" (avx512\w*|avx_vnni\w*|amx_\w+|gfni|vaes|vpclmulqdq)\b"


def cpuinfo(text: str) -> str:
    """Take the instructions that the emulated processor has not out of the text of /proc/cpuinfo."""
    return re.sub(r"^flags\s*:.*$", lambda line: re.sub(NEWER, "", line[0]), text, flags=re.MULTILINE)


def main() -> None:
    """Become pytest under the emulator, which shows the real /proc/cpuinfo unless it is given another."""
    qemu = shutil.which("qemu-x86_64")
    if not qemu:
        sys.exit("qemu-x86_64 is not installed (on Debian and Ubuntu: apt-get install qemu-user)")
    folder = Path(tempfile.mkdtemp(prefix="without-vnni-"))
    (folder / "proc").mkdir()
    (folder / "proc" / "cpuinfo").write_text(cpuinfo(Path("/proc/cpuinfo").read_text()))
    # NumPy's AVX2 loops end the emulator (qemu 7.2) with a segmentation fault; no test asks about them.
    os.environ["NPY_DISABLE_CPU_FEATURES"] = "X86_V3"
    words = [qemu, "-L", str(folder), "-cpu", CPU, sys.executable, "-m", "pytest", "-q", "-p", "no:xdist"]
    os.execv(qemu, [*words, *(sys.argv[1:] or FILES)])


if __name__ == "__main__":
    main()
