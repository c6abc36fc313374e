"""The library's packages: each imports only from those below it, and no modules form a circle."""

import ast
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "workflow" / "scripts" / "posegauge"
# From the top floor to the ground, where study.py, errors.py, disk.py and logs.py stand.
FLOORS = (
    "compare", "report", "measure", "backends", "models", "predict", "score", "data", "settings", "pipeline",
    "store", "install", "ground",
)  # fmt: skip
GROUND = {"study", "errors", "disk", "logs"}
MOST_LINES = 450


def name_of(path: Path) -> str:
    """Return the name of a module inside the library; that of the package for its __init__.py."""
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(LIBRARY.rglob("*.py"))}


def imported(module: str) -> set[str]:
    """Return the library's modules that a module imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == LIBRARY.name:
            base = node.module.partition(".")[2]
            names = {f"{base}.{alias.name}".lstrip(".") for alias in node.names}
            found |= {name if name in MODULES else base for name in names}
    return found - {module}


def floor(module: str) -> int:
    package = module.split(".")[0]
    return FLOORS.index("ground" if package in GROUND or not package else package)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_its_own_floor_and_below(module):
    above = {name for name in imported(module) if floor(name) < floor(module)}
    assert not above, f"{module} imports from a floor above its own: {sorted(above)}"


def test_no_modules_import_each_other_in_a_circle():
    state: dict[str, str] = {}

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert state.get(module) != "open", f"a circle: {' -> '.join((*trail, module))}"
        if module not in state:
            state[module] = "open"
            for name in sorted(imported(module)):
                visit(name, (*trail, module))
            state[module] = "done"

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_of_one_room(module):
    text = MODULES[module].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES
    assert "snakemake" not in {
        name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
