"""Show a finished run in the documents that git tracks; nothing else writes them.

Copies results/<run>/readme.md and its pictures to docs/results/<run>.md and docs/results/<run>/, and fills
the generated blocks of README.md whose marker names this run, and that of the published numbers.

Usage: python workflow/publish.py <run>    its name under results/, or the path of a copy
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "scripts"))

from posegauge.compare.publish import publish
from posegauge.errors import PoseGaugeError

REPOSITORY = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> int:
    """Publish a run and say what was written."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        for path in publish(arguments[0], REPOSITORY):
            print(f"Written: {path}")
    except PoseGaugeError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
