"""Compare two runs and end with the verdict as exit code, for scripts and continuous integration.

0: no regression; 1: regression; 2: not comparable; 3: no comparison was made (a run is missing or damaged).
`make` ends with 2 whenever a command fails, whatever its code: call this file to tell the three apart.

Usage: python workflow/compare.py <baseline> <candidate> [arguments of snakemake]
"""

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "scripts"))

from posegauge.errors import PoseGaugeError
from posegauge.store import runs

FAILED = 3


def main(arguments: list[str]) -> int:
    """Run the workflow's target compare and return the exit code that it wrote."""
    if len(arguments) < 2 or arguments[0].startswith("-") or arguments[1].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return FAILED
    names, more = arguments[:2], arguments[2:]
    try:
        labels = [runs.label(runs.find(name)) for name in names]
    except PoseGaugeError as error:
        print(f"Error: {error}", file=sys.stderr)
        return FAILED
    # In quotes, since a name like 2024 would be taken for a number.
    given = [f"{key}={json.dumps(name)}" for key, name in zip(("baseline", "candidate"), names, strict=True)]
    command = [sys.executable, "workflow/run.py", "compare", "--cores", "1", "--quiet", "all", *more]
    if subprocess.run([*command, "--config", *given]).returncode:
        return FAILED
    written = Path("results/compare") / "-vs-".join(labels) / "compare.json"
    return json.loads(written.read_text(encoding="utf-8"))["exit_code"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
