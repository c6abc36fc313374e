"""Which code a script uses: what changes a digest, and what does not."""

import textwrap

import pytest

from posegauge.errors import PoseGaugeError
from posegauge.store.code_names import PACKAGE
from posegauge.store.used_code import Library, used_code

FILES = {
    "lib/__init__.py": '"""The library."""\n',
    "lib/area.py": '''
        """Areas."""
        import math
        from PACKAGE.ground import PI, checked as check

        LIMIT = 5

        def circle(r):
            """Area of a circle."""
            return PI * check(r) ** 2  # in m2

        def square(a):
            return other(a)

        def other(a):
            return min(a * a, LIMIT)
        ''',
    "lib/ground.py": '''
        PI = 3
        E = 2
        def checked(x):
            return x
        ''',
    "lib/tools/__init__.py": '''
        from PACKAGE.tools.far import reach
        ''',
    "lib/tools/far.py": '''
        def reach():
            from PACKAGE import ground
            return ground.E
        def rest(reach):
            return reach
        ''',
    "lib/registry.py": '''
        KNOWN = {}
        def enter(f):
            KNOWN[f.__name__] = f
            return f
        ''',
    "lib/entries.py": '''
        from PACKAGE.registry import enter
        @enter
        def one():
            return 1
        def two():
            return 2
        ''',
    "lib/checks.py": """
        def check(data):
            return validate(data, "round.schema.yaml")
        """,
    "schemas/round.schema.yaml": "# A circle.\ntype: object\nproperties: {head: {$ref: head.schema.yaml}}\n",
    "schemas/head.schema.yaml": "type: string\n",
    "checked.py": """
        from PACKAGE.checks import check
        check(snakemake.params.r)
        """,
    "round.py": '''
        from PACKAGE import area
        print(area.circle(snakemake.params.r))
        ''',
    "far.py": '''
        from PACKAGE import tools
        print(tools.reach())
        ''',
    "passed.py": '''
        from PACKAGE import area
        print(vars(area))
        ''',
    "registered.py": '''
        from PACKAGE import entries
        from PACKAGE.registry import KNOWN
        print(KNOWN["one"]())
        ''',
}  # fmt: skip


@pytest.fixture
def read(tmp_path):
    """Write the files, some of them changed, and return what a script uses of them."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).replace("PACKAGE", PACKAGE))

    def used(script, *more, without=(), change=None):
        if change:
            name, old, new = change
            path = tmp_path / name
            text = path.read_text()
            assert old in text
            path.write_text(text.replace(old, new))
        return Library(tmp_path / "lib", tmp_path, tmp_path / "schemas").used(script, more, without)

    return used


def test_only_what_is_used_counts(read):
    assert list(read("round")) == ["area.py", "ground.py"]
    assert list(read("far")) == ["ground.py", "tools/__init__.py", "tools/far.py"]


@pytest.mark.parametrize(
    ("script", "name", "old", "new"),
    [
        ("round", "lib/area.py", "  # in m2", "  # square metres"),
        ("round", "lib/area.py", "Area of a circle.", "The area of a circle."),
        ("round", "lib/area.py", "LIMIT = 5", "LIMIT = 6"),
        ("round", "lib/area.py", "a * a", "a ** 2"),
        ("round", "lib/area.py", "import math", "import math, re"),
        ("round", "lib/ground.py", "E = 2", "E = 2.7"),
        ("far", "lib/ground.py", "PI = 3", "PI = 3.1"),
        ("checked", "schemas/round.schema.yaml", "# A circle.", "# Circles."),
        # A parameter of the name of a function is not that function.
        ("far", "lib/tools/far.py", "return reach", "return reach + 1"),
    ],
)
def test_what_does_not_count(read, script, name, old, new):
    assert read(script) == read(script, change=(name, old, new))


@pytest.mark.parametrize(
    ("script", "name", "old", "new"),
    [
        ("round", "lib/area.py", "** 2", "* r"),
        ("round", "lib/ground.py", "PI = 3", "PI = 3.1"),
        ("round", "lib/ground.py", "return x", "return abs(x)"),
        ("far", "lib/ground.py", "E = 2", "E = 2.7"),
        ("passed", "lib/area.py", "LIMIT = 5", "LIMIT = 6"),
        ("checked", "schemas/head.schema.yaml", "string", "number"),
        ("registered", "lib/entries.py", "return 1", "return 1.0"),
    ],
)
def test_what_counts(read, script, name, old, new):
    before, after = read(script), read(script, change=(name, old, new))
    changed = {file for file in after if after[file] != before.get(file)}
    assert changed == {name.removeprefix("lib/").removeprefix("schemas/")}


def test_a_constant_of_a_constant_counts(read):
    before = read("round", "area:square")
    after = read("round", "area:square", change=("lib/area.py", "LIMIT = 5", "LIMIT = 6"))
    assert before["area.py"] != after["area.py"] and before["ground.py"] == after["ground.py"]


def test_what_is_found_at_run_time_is_named(read):
    assert "tools/far.py" in read("round", "tools.far")
    assert "ground.py" not in read("round", without=("ground",))
    assert read("round", without=("ground:PI",))["ground.py"] != read("round")["ground.py"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("rund",), "there is no script"),
        (("round", "arena"), "has no module arena"),
        (("round", "area:circel"), "did you mean 'circle'?"),
    ],
)
def test_a_name_that_does_not_exist(read, names, message):
    with pytest.raises(PoseGaugeError, match=message.replace("?", r"\?")):
        read(*names)


def test_a_star_cannot_be_read(read):
    with pytest.raises(PoseGaugeError, match="import \\*"):
        read("round", change=("lib/area.py", "import math", f"from {PACKAGE}.ground import *"))


def test_the_script_of_a_row_uses_its_runtime_and_no_other():
    found = used_code("measure_latency", "backends.openvino")
    assert {"backends/openvino.py", "measure/latency.py", "pipeline/pipeline.py"} <= set(found)
    assert not {"backends/tensorrt.py", "report/style.py", "report/latency.py"} & set(found)
