"""The names that Python code binds and uses, read from its syntax tree."""

import ast

from posegauge.errors import PoseGaugeError

PACKAGE = __name__.partition(".")[0]


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


STATEMENTS = (ast.stmt, ast.ExceptHandler, ast.match_case)


def imported(node, alias: ast.alias, package: tuple[str, ...]) -> tuple[str, tuple[str, ...] | None]:
    """Return the name that an import binds and what it is, as parts below the package; None outside it."""
    if isinstance(node, ast.Import):
        words = tuple(alias.name.split("."))
        if words[0] != PACKAGE:
            return alias.asname or words[0], None
        return (alias.asname, words[1:]) if alias.asname else (PACKAGE, ())
    if node.level:
        base = package[: len(package) - node.level + 1] + tuple(
            (node.module or "").split(".") if node.module else ()
        )
    else:
        words = tuple(node.module.split("."))
        if words[0] != PACKAGE:
            return alias.asname or alias.name, None
        base = words[1:]
    if alias.name == "*":
        raise PoseGaugeError(
            f"from {PACKAGE}... import *: what is used cannot be read; name what is imported"
        )
    return alias.asname or alias.name, (*base, alias.name)


def is_docstring(node) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def without_docstrings(node: ast.stmt) -> ast.stmt:
    """Drop the docstrings inside a statement, in place: of them no one else has need."""
    left = [node]
    while left:
        inner = left.pop()
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and is_docstring(
            inner.body[0]
        ):
            inner.body = inner.body[1:] or [ast.Pass()]
        # Statements lie in statements alone.
        left += [child for child in children(inner) if isinstance(child, STATEMENTS)]
    return node


def children(node: ast.AST):
    """Yield the nodes below a node, without those that say nothing of names."""
    for field in node._fields:
        if field in ("ctx", "op", "ops"):
            continue
        value = getattr(node, field, None)
        if isinstance(value, list):
            for item in value:
                if isinstance(item, ast.AST):
                    yield item
        elif isinstance(value, ast.AST):
            yield value


def bound_names(nodes: list, package: tuple[str, ...]) -> dict[str, tuple[str, ...] | None]:
    """Return the names that nodes bind in their own scope, and what each is in the library, or None."""
    names: dict[str, tuple[str, ...] | None] = {}
    outer: set[str] = set()
    left = list(nodes)
    while left:
        node = left.pop()
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                names.setdefault(node.id, None)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(imported(node, alias, package) for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.setdefault(node.name, None)
        elif isinstance(node, COMPREHENSIONS):
            # Only := reaches out of it.
            left += [inner.target for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)]
        elif not isinstance(node, ast.Lambda):
            if isinstance(node, ast.Global):
                outer.update(node.names)
            elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
                names.setdefault(node.name, None)
            elif isinstance(node, ast.MatchMapping) and node.rest:
                names.setdefault(node.rest, None)
            left += children(node)
    return {name: target for name, target in names.items() if name not in outer}


def collect_names(node: ast.AST, scopes: list[dict], found: set, package: tuple[str, ...]) -> None:
    """Add to `found` the dotted names in a node that no scope around it binds, and those of lazy imports."""
    if isinstance(node, ast.Attribute | ast.Name):
        words, inner = [], node
        while isinstance(inner, ast.Attribute):
            words.append(inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name):
            collect_names(inner, scopes, found, package)
            return
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            return
        words = tuple(reversed(words))
        for scope in reversed(scopes):
            if inner.id in scope:
                if scope[inner.id] is not None:
                    found.add(("", *scope[inner.id], *words))
                return
        found.add((inner.id, *words))
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        return
    outside: list[ast.AST] = []
    inside: list[ast.AST] = []
    scope: dict[str, tuple[str, ...] | None] = {}
    if isinstance(node, FUNCTIONS):
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        arguments = node.args
        every = [
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
            arguments.vararg,
            arguments.kwarg,
        ]
        scope = dict.fromkeys(argument.arg for argument in every if argument)
        scope.update(bound_names(body, package))
        outside = [arguments, *getattr(node, "decorator_list", [])]
        outside += [node.returns] if getattr(node, "returns", None) else []
        inside = body
    elif isinstance(node, COMPREHENSIONS):
        scope = bound_names([generator.target for generator in node.generators], package)
        inside = list(children(node))
    else:
        outside = list(children(node))
    for child in outside:
        collect_names(child, scopes, found, package)
    for child in inside:
        collect_names(child, [*scopes, scope], found, package)
