"""Draw the rules of a small run into docs/rules.md, as a Mermaid graph, which GitHub shows as a picture.

Usage: python workflow/rulegraph.py    (make rulegraph)
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/rules.md"
# One row of each kind and two conditions stand for all.
SMALL = """
run: rulegraph
suites: [study]
conditions: [clean, noise_heavy]
benchmarks: [onnx_full_cpu, tensorrt_full_fp16]
"""
BLOCK = re.compile(r"(?<=```mermaid\n).*?(?=```\n)", re.S)


def read_graph() -> dict[str, set[str]]:
    """Ask Snakemake for {rule: the rules that it needs}."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "small.yaml"
        config.write_text(SMALL, encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "--cores", "1", "--rulegraph", "mermaid-js"]
        configs = [str(ROOT / "config/demo.yaml"), str(config)]
        command += ["-s", str(ROOT / "Snakefile"), "--configfile", *configs]
        # In a folder of its own everything is to be made.
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    names = dict(re.findall(r"^\s*(id\d+)\[(\w+)\]", done.stdout, re.M))
    needs = {name: set() for name in names.values()}
    for before, after in re.findall(r"^\s*(id\d+) --> (id\d+)", done.stdout, re.M):
        needs[names[after]].add(names[before])
    del needs["default"]
    return needs


def reduced(needs: dict[str, set[str]]) -> dict[str, set[str]]:
    """Leave out what a rule needs for the sake of another that it needs."""

    def all_of(name: str) -> set[str]:
        return {name}.union(*(all_of(other) for other in needs[name]))

    return {
        name: {other for other in given if not any(other in all_of(third) for third in given - {other})}
        for name, given in needs.items()
    }


def graph() -> str:
    """Return the graph as Mermaid text."""
    needs = reduced(read_graph())
    lines = [f"    {before} --> {name}" for name in sorted(needs) for before in sorted(needs[name])]
    return "\n".join(["flowchart LR", *lines, ""])


if __name__ == "__main__":
    text = graph()
    PAGE.write_text(BLOCK.sub(lambda _: text, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"Written: {PAGE.relative_to(ROOT)}")
