"""The place that packages are installed into: a venv, or a folder for PYTHONPATH."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from posegauge.errors import PoseGaugeError
from posegauge.install import locks

# Printed by the Python of a place: all that it finds, the first of a name, and what PyTorch is built for.
_LOOK = """
import json, sys
from importlib import metadata, util
found = {}
for d in metadata.distributions():
    if d.metadata["Name"]:
        name = d.metadata["Name"].lower().replace("_", "-").replace(".", "-")
        found.setdefault(name, d.version)
cuda = None
if "torch" in found:
    try:
        spec = util.find_spec("torch")
        scope = {}
        exec(open(spec.submodule_search_locations[0] + "/version.py").read(), scope)
        cuda = scope.get("cuda")
        found["torch"] = scope["__version__"]
    except Exception:
        pass
if util.find_spec("tensorrt"):
    found.setdefault("tensorrt", "of the system")
print(json.dumps({"versions": found, "torch_cuda": cuda, "python": "%d.%d" % sys.version_info[:2]}))
"""


class Place:
    """Where to install, and with what: pip, or uv where it is there.

    Attributes:
        python: the Python that will run what is installed.
        folder: the venv, or the folder of `target`.
    """

    def __init__(self, folder: Path, python: str, target: bool = False, uv: str | None = None):
        self.folder, self.python, self.target = Path(folder), python, target
        # uv does not see the packages of the Python below a venv, and reads no settings of pip.
        self.uv = None if target else uv
        self.shared = False  # whether it sees the packages of the Python below

    @classmethod
    def venv(cls, folder: Path, system_site_packages: bool, uv: str | None) -> "Place":
        """Return a venv of the Python that runs this, made anew where there is none or it is of another.

        A venv that was moved, or broken off half-way, is made anew, too. One that sees the packages of the
        Python below stays so.
        """
        python = folder / "bin" / "python"
        here = ".".join(map(str, sys.version_info[:2]))
        told = folder / "pyvenv.cfg"
        shared = told.is_file() and "include-system-site-packages = true" in told.read_text(encoding="utf-8")
        place = cls(folder, str(python), uv=None if shared or system_site_packages else uv)
        place.shared = shared or system_site_packages
        if not place._works(here) or shared != place.shared:
            print(f"Making {folder} with Python {here}", flush=True)
            options = ["--system-site-packages"] if place.shared else []
            # Not the venv's own, which this may be.
            python = getattr(sys, "_base_executable", sys.executable)
            made = subprocess.run([python, "-m", "venv", "--clear", *options, str(folder)])
            if made.returncode:
                raise PoseGaugeError(
                    f"{python} could not make {folder}: what it says stands above (on Debian and "
                    f"Ubuntu venv is a package of its own: python{here}-venv)"
                )
        return place

    def _works(self, version: str) -> bool:
        code = "import sys, pip; print('%d.%d' % sys.version_info[:2])"
        try:
            told = subprocess.run([self.python, "-c", code], capture_output=True, text=True)
        except OSError:
            return False
        return told.returncode == 0 and told.stdout.strip() == version

    def look(self) -> dict:
        """Return {"versions": {package: version}, "torch_cuda": "13.0" say or None, "python": "3.12"}."""
        environment = dict(os.environ)
        if self.target:
            environment["PYTHONPATH"] = str(self.folder)
        told = subprocess.run([self.python, "-c", _LOOK], capture_output=True, text=True, env=environment)
        if told.returncode:
            raise PoseGaugeError(f"{self.python} does not run: {told.stderr.strip()[-500:]}")
        return json.loads(told.stdout)

    def install(self, what: str, *arguments: str, plain_pip: bool = False) -> None:
        """Install by pip or uv; PoseGaugeError where that fails.

        Args:
            what: for the message.
            arguments: of `pip install`.
            plain_pip: not by uv.
        """
        if self.uv and not plain_pip:
            words = [self.uv, "pip", "install", "--quiet", "--python", self.python]
        else:
            # Byte code is made at the end, on all cores.
            words = [
                self.python,
                "-m",
                "pip",
                "install",
                "-qq",
                "--disable-pip-version-check",
                "--no-compile",
            ]
            words += ["--target", str(self.folder), "--upgrade"] if self.target else []
        if subprocess.run([*words, *arguments]).returncode:
            program = "uv (make UV= takes pip in its place)" if words[0] == self.uv else "pip"
            raise PoseGaugeError(f"{what} could not be installed: what {program} says stands above")

    def compile(self) -> None:
        """Make the byte code of all packages, on all cores: where none is written later, every job makes it.

        What is no Python, as some packages' templates, is passed over.
        """
        where = repr(str(self.folder)) if self.target else "sysconfig.get_path('purelib')"
        code = f"import compileall, sysconfig; compileall.compile_dir({where}, quiet=2, workers=0)"
        subprocess.run([self.python, "-c", code])

    def remove(self, names: set[str]) -> None:
        """Uninstall packages of the place; those that are not there are left out."""
        found = sorted(names & set(self.look()["versions"]))
        if found and self.target:
            raise PoseGaugeError(f"{self.folder} holds {', '.join(found)}: say another folder, an empty one")
        if found:
            pip = [self.python, "-m", "pip", "uninstall", "-qq", "-y", "--disable-pip-version-check"]
            subprocess.run([*pip, *found], check=True)

    def check(self) -> None:
        """Raise PoseGaugeError with all that does not work together; see locks.faults."""
        locks.refuse(self.look()["versions"], self.folder)


def require_pip() -> None:
    """Raise PoseGaugeError unless the Python that runs this has pip itself; a venv brings its own."""
    if importlib.util.find_spec("pip") is None:
        raise PoseGaugeError(
            f"{sys.executable} has no pip: `make setup` first, or install pip for it (on Debian and Ubuntu: "
            "python3-pip)"
        )


def find_uv(given: str | None) -> str | None:
    """Return uv's path: `given`, or the one that is found; None with an empty `given`, or without uv."""
    return shutil.which("uv") if given is None else given or None
