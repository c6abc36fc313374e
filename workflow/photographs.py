"""Fetch the photographs of config/photographs.yaml and their annotations, alone, out of COCO's archives.

Writes data/photographs/coco/ and checks every sha256 of config/photographs.tsv. An archive that lies in
data/downloads/ is read in place. The models are had by hand: docs/photographs.md.

Usage: python workflow/photographs.py [mirror]    see asset_mirror in config/README.md
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "scripts"))

from posegauge.data import photographs
from posegauge.data.download import read_table
from posegauge.errors import PoseGaugeError

REPOSITORY = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> int:
    """Fetch the photographs and say where they are."""
    if len(arguments) > 1 or arguments[:1] in (["-h"], ["--help"]):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    data = REPOSITORY / "data"
    try:
        photographs.take(
            photographs.read_list(REPOSITORY / "config" / "photographs.tsv"),
            read_table(REPOSITORY / "config" / "downloads.tsv").to_dict("index"),
            data / "downloads",
            data / "photographs",
            mirror=arguments[0] if arguments else None,
        )
    except PoseGaugeError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"Written: {data / 'photographs' / 'coco'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
