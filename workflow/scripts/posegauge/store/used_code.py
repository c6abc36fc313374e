"""Which definitions of this library a script really uses: a digest for each file that holds some of them.

Snakemake watches a script, not what it imports. This reads the imports, without running anything: from the
names that a script uses to top-level functions, classes and assignments, and from each of these to what it
uses in turn, imported at the top or inside a function. Comments, docstrings and other definitions of a file
count for nothing. Top-level statements of an imported module that do something (a call, an entry in a
registry) always count, an assignment where its name is used, and a module that is passed on as a value as a
whole.

A schema that is named in what is used counts as well, with those that it refers to.

What is chosen at run time cannot be read, so whoever asks names it: "backends.onnxruntime" is a module
below the package, "precision:convert_fp16" a definition.
"""

import ast
import functools
import hashlib
import re
import sys
from pathlib import Path

from posegauge.errors import PoseGaugeError, nearest
from posegauge.store.code_names import (
    PACKAGE,
    bound_names,
    collect_names,
    imported,
    is_docstring,
    without_docstrings,
)

SCHEMA = re.compile(r"[\w.-]+\.schema\.yaml")


BINDINGS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.AugAssign)


class Part:
    """A top-level statement of a module, or one name of an import."""

    def __init__(self, module: "Module", node: ast.stmt, text: str | None = None):
        self.module, self.node, self.text = module, node, text

    @functools.cached_property
    def code(self) -> str:
        """The code without comments and docstrings."""
        return self.text or ast.unparse(without_docstrings(self.node))

    @functools.cached_property
    def uses(self) -> set[tuple[str, ...]]:
        """Dotted names of the module's scope, ("coco", "read"), and of the library, ("", "coco", "read")."""
        found: set[tuple[str, ...]] = set()
        if self.text is None:
            collect_names(self.node, [], found, self.module.package)
        return found


class Module:
    """A file of the library, or a script: what its top-level statements bind, import and do."""

    def __init__(self, path: Path, dotted: tuple[str, ...] | None):
        self.path, self.dotted = path, dotted
        # The folder that relative imports are of; a script has none.
        self.package = (dotted if path.name == "__init__.py" else dotted[:-1]) if dotted is not None else ()
        self.parts: list[Part] = []
        self.bound: dict[str, list[Part]] = {}
        self.imported: dict[str, tuple[str, ...]] = {}  # names of the library's modules and definitions
        self.effects: list[Part] = []
        self.imports: set[tuple[str, ...]] = set()
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        for node in tree.body:
            self._read(node)

    def _read(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                name, target = imported(node, alias, self.package)
                one = ast.Import([alias])
                if isinstance(node, ast.ImportFrom):
                    one = ast.ImportFrom(node.module, [alias], node.level)
                self._bind([name], Part(self, node, ast.unparse(one)))
                self._import(name, target)
            return
        if is_docstring(node):
            return
        part, names = Part(self, node), bound_names([node], self.package)
        self._bind(names, part)
        for name, target in names.items():
            self._import(name, target)
        if self._does_something(node):
            self.effects.append(part)

    def _bind(self, names, part: Part) -> None:
        self.parts.append(part)
        for name in names:
            self.bound.setdefault(name, []).append(part)

    def _import(self, name: str, target: tuple[str, ...] | None) -> None:
        if target is not None:
            self.imported[name] = target
            self.imports.add(target)

    def _does_something(self, node: ast.stmt) -> bool:
        if isinstance(node, ast.Assign):
            return not all(isinstance(target, ast.Name | ast.Tuple | ast.List) for target in node.targets)
        if isinstance(node, ast.AnnAssign | ast.AugAssign):
            return not isinstance(node.target, ast.Name)
        if isinstance(node, BINDINGS):
            # A decorator of the library may enter it into a registry; functools and the like do not.
            roots = {
                inner.id
                for decorator in node.decorator_list
                for inner in ast.walk(decorator)
                if isinstance(inner, ast.Name)
            }
            return any(
                root in self.imported
                or any(isinstance(part.node, BINDINGS) for part in self.bound.get(root, ()))
                for root in roots
            )
        if isinstance(node, ast.If | ast.Try):
            inside = [node.body, node.orelse, *([node.finalbody] if isinstance(node, ast.Try) else [])]
            inside += [handler.body for handler in getattr(node, "handlers", [])]
            return any(self._does_something(one) for block in inside for one in block)
        return not (
            isinstance(node, ast.Import | ast.ImportFrom | ast.Pass | ast.Raise) or is_docstring(node)
        )


class Library:
    """The modules below a folder, each read once, when it is needed; beside them scripts and schemas."""

    def __init__(self, folder: Path, scripts: Path, schemas: Path):
        self.folder, self.scripts, self.schemas = Path(folder), Path(scripts), Path(schemas)
        self._modules: dict[tuple[str, ...], Module | None] = {}

    def module(self, dotted: tuple[str, ...]) -> Module | None:
        """Return a module by its parts below the package, () being the package; None when there is none."""
        if dotted not in self._modules:
            file = self.folder.joinpath(*dotted)
            paths = [file / "__init__.py", *([file.with_suffix(".py")] if dotted else [])]
            path = next((path for path in paths if path.is_file()), None)
            self._modules[dotted] = Module(path, dotted) if path else None
        return self._modules[dotted]

    @functools.cache  # noqa: B019 (there is one library, as long as the process)
    def used(self, script: str, more: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> dict[str, str]:
        """Return {file below the package: digest of what is used of it}; see used_code."""
        search = _Search(self, {self.entry(name) for name in without})
        search.script(Module(self.script(script), None))
        for name in more:
            search.use(*self.entry(name))
        files: dict[Path, list[Part]] = {}
        for part in search.found:
            if part.module.dotted is not None:
                files.setdefault(part.module.path, []).append(part)
        codes = {path: _code(parts[0].module, set(parts)) for path, parts in files.items()}
        named = {name for part in search.found for name in SCHEMA.findall(part.code)}
        return {
            **{path.relative_to(self.folder).as_posix(): _digest(codes[path]) for path in sorted(codes)},
            **{name: _digest(text) for name, text in sorted(self._schemas(named).items())},
        }

    def _schemas(self, names: set[str]) -> dict[str, str]:
        """Return the texts of schemas, and of those that they refer to, without comments."""
        found: dict[str, str] = {}
        while names:
            name = names.pop()
            path = self.schemas / name
            if name not in found and path.is_file():
                lines = path.read_text(encoding="utf-8").splitlines()
                found[name] = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
                names |= set(SCHEMA.findall(found[name]))
        return found

    def script(self, name: str) -> Path:
        """Return the file of a script; PoseGaugeError when there is none of this name."""
        path = self.scripts / f"{name}.py"
        if path.is_file():
            return path
        near = nearest(name, [file.stem for file in self.scripts.glob("*.py")])
        raise PoseGaugeError(f"code({name!r}): there is no script {path}{near}")

    def entry(self, name: str) -> tuple[tuple[str, ...], str | None]:
        """Return a module and perhaps a definition in it, by a name like those given to used_code."""
        dotted, _, definition = name.partition(":")
        module = self.module(tuple(dotted.split(".")))
        if module is None:
            raise PoseGaugeError(
                f"code(..., {name!r}): {PACKAGE} has no module {dotted}; name it from below the package, "
                "like 'backends.torch', or a definition in it, like 'study:CONDITIONS'"
            )
        if definition and definition not in module.bound:
            near = nearest(definition, list(module.bound))
            raise PoseGaugeError(f"code(..., {name!r}): {module.path} defines no {definition}{near}")
        return module.dotted, definition or None


class _Search:
    def __init__(self, library: Library, without: set):
        self.library, self.without = library, without
        self.found: set[Part] = set()
        self._run: set[tuple[str, ...]] = set()
        self._whole: set[tuple[str, ...]] = set()

    def script(self, module: Module) -> None:
        """Follow everything of a script."""
        for target in module.imports:
            self._run_module(self._split(target)[0])
        for part in module.parts:
            self._follow(part)

    def use(self, dotted: tuple[str, ...], name: str | None = None) -> None:
        """Follow one definition of a module, or all of it."""
        if (dotted, None) in self.without or (dotted, name) in self.without:
            return
        module = self.library.module(dotted)
        if module is None:
            return
        self._run_module(dotted)
        if name is None:
            if dotted in self._whole:
                return
            self._whole.add(dotted)
            parts = module.parts
        # A name that no statement binds is made in a way that cannot be read.
        elif name in module.bound or name in module.imported:
            parts = module.bound.get(name, [])
            if name in module.imported:
                self._use_target(module.imported[name])
        elif name.startswith("__"):
            return
        else:
            parts = module.parts
        for part in parts:
            self._follow(part)

    def _run_module(self, dotted: tuple[str, ...]) -> None:
        """Follow what happens when a module is imported: effects of it, its packages and what it imports."""
        if dotted in self._run or (dotted, None) in self.without:
            return
        self._run.add(dotted)
        if dotted:
            self._run_module(dotted[:-1])
        module = self.library.module(dotted)
        for target in module.imports if module else ():
            self._run_module(self._split(target)[0])
        for part in module.effects if module else ():
            self._follow(part)

    def _follow(self, part: Part) -> None:
        if part in self.found:
            return
        self.found.add(part)
        for words in sorted(part.uses):
            if words[0] == "":
                self._use_target(words[1:])
            elif words[0] in part.module.imported:
                if part.module.dotted is not None:
                    for binding in part.module.bound.get(words[0], ()):
                        self._follow(binding)
                self._use_target((*part.module.imported[words[0]], *words[1:]))
            elif part.module.dotted is not None and words[0] in part.module.bound:
                self.use(part.module.dotted, words[0])

    def _use_target(self, target: tuple[str, ...]) -> None:
        dotted, rest = self._split(target)
        module = self.library.module(dotted)
        if rest and module and rest[0] in module.imported and len(rest) > 1:
            self.use(dotted, None if rest[0] not in module.bound else rest[0])
            self._use_target((*module.imported[rest[0]], *rest[1:]))
        else:
            self.use(dotted, rest[0] if rest else None)

    def _split(self, target: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the module that a dotted name begins with, and the rest: definitions, attributes."""
        end = len(target)
        while end and self.library.module(target[:end]) is None:
            end -= 1
        return target[:end], target[end:]


def _code(module: Module, used: set[Part]) -> str:
    """Return some statements of a module, in the order in which they stand there."""
    return "\n".join(part.code for part in module.parts if part in used)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@functools.cache
def _library() -> Library:
    folder = Path(sys.modules[PACKAGE].__file__).parent
    return Library(folder, folder.parent, folder.parents[1] / "schemas")


def used_code(script: str, *more: str, without: tuple[str, ...] = ()) -> dict[str, str]:
    """Return {file of the library: digest of the definitions in it that a script uses}, and of its schemas.

    Args:
        script: name of a script, the file <script>.py beside the library.
        more: modules ("backends.torch") and definitions ("study:CONDITIONS") that are found at run time.
        without: the same, of what does not count: what the rule gives the script in another way.

    Raises PoseGaugeError when there is no such script, module or definition.
    """
    return _library().used(script, more, tuple(without))


def check_names(script: str, *more: str, without: tuple[str, ...] = ()) -> None:
    """Raise what used_code raises for a name that does not exist, without the search."""
    library = _library()
    library.script(script)
    for name in (*more, *without):
        library.entry(name)
