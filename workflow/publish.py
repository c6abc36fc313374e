"""Show a finished run in the documents that git tracks; nothing else writes them.

Copies results/<run>/readme.md and its pictures to docs/results/<run>.md and docs/results/<run>/, and fills
the generated blocks of README.md whose marker names this run, and that of the published numbers.

Usage: python workflow/publish.py <run> [--as <name>] [--show <block>,...]
  <run>    its name under results/, or the path of a copy
  --as     its name in docs/results/ and in README.md, where it is not that of the folder
  --show   blocks of README.md that show this run from now on: grid, latency, robustness, findings
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "scripts"))

from posegauge.compare.publish import publish
from posegauge.errors import PoseGaugeError

REPOSITORY = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> int:
    """Publish a run and say what was written."""
    parser = argparse.ArgumentParser(usage=__doc__.strip(), add_help=False)
    parser.add_argument("run")
    parser.add_argument("--as", dest="name")
    parser.add_argument("--show", default="")
    given = parser.parse_args(arguments)
    try:
        show = [word for word in given.show.replace(",", " ").split() if word]
        for path in publish(given.run, REPOSITORY, given.name, show):
            print(f"Written: {path}")
    except PoseGaugeError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
