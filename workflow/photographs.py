"""Take the photographs of config/photographs.yaml, and their annotations, out of COCO's own archives.

Writes data/photographs/coco/ and checks every sha256 of config/photographs.tsv. The models are had by hand:
docs/photographs.md.

Usage: python workflow/photographs.py [folder]    of annotations_trainval2017.zip and val2017.zip
                                                  [data/downloads]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "scripts"))

from posegauge.data import photographs
from posegauge.errors import PoseGaugeError

REPOSITORY = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> int:
    """Extract the photographs and say where they are."""
    if len(arguments) > 1 or arguments[:1] in (["-h"], ["--help"]):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    archives = Path(arguments[0] if arguments else REPOSITORY / "data" / "downloads")
    target = REPOSITORY / "data" / "photographs"
    try:
        photographs.extract(
            photographs.read_list(REPOSITORY / "config" / "photographs.tsv"),
            archives / "annotations_trainval2017.zip",
            archives / "val2017.zip",
            target,
        )
    except PoseGaugeError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"Written: {target / 'coco'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
