"""The engine with one line left out: for showing that a test would notice.

A site is one call in the source of a module, found by reading its syntax tree. `without` takes it
out of the running function, whose code is replaced and put back afterwards.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType


@dataclass(frozen=True)
class Site:
    """One call to leave out: where it stands, in which function, and how it is written."""

    module: str
    function: str
    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return f"{self.module.removeprefix('ivr.')}:{self.function}:{self.text}"


def sites(module: str, names: frozenset[str], owners: frozenset[str]) -> Iterator[Site]:
    """Every call `owner.name(…)` in a module."""
    tree = ast.parse(_source(module))
    for function, node in _calls(tree, ""):
        called = node.func
        if (
            isinstance(called, ast.Attribute)
            and called.attr in names
            and isinstance(called.value, ast.Name)
            and called.value.id in owners
        ):
            yield Site(module, function, node.lineno, node.col_offset, ast.unparse(node))


def _source(module: str) -> str:
    return inspect.getsource(importlib.import_module(module))


def _calls(node: ast.AST, inside: str) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        name = inside
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            name = f"{inside}.{child.name}" if inside else child.name
        if isinstance(child, ast.Call):
            yield inside, child
        yield from _calls(child, name)


class _LeaveOut(ast.NodeTransformer):
    def __init__(self, site: Site) -> None:
        self.site, self.done = site, 0

    def visit_Call(self, node: ast.Call) -> ast.AST:
        here = (node.lineno, node.col_offset) == (self.site.line, self.site.column)
        if here and ast.unparse(node) == self.site.text:
            self.done += 1
            return ast.copy_location(ast.Constant(0), node)
        return self.generic_visit(node)


@contextlib.contextmanager
def without(site: Site) -> Iterator[None]:
    """While this lasts, the call at `site` is not made; 0 stands in its place."""
    module = importlib.import_module(site.module)
    tree = ast.parse(_source(site.module))
    cut = _LeaveOut(site)
    tree = ast.fix_missing_locations(cut.visit(tree))
    assert cut.done == 1
    function = _function(module, site.function)
    code = _code(compile(tree, str(module.__file__), "exec"), function.__code__)
    before, function.__code__ = function.__code__, code
    try:
        yield
    finally:
        function.__code__ = before


def _function(module: ModuleType, path: str) -> FunctionType:
    found: object = module
    for name in path.split("."):
        found = vars(found)[name]
    assert isinstance(found, FunctionType)
    return found


def _code(outer: CodeType, wanted: CodeType) -> CodeType:
    """The code of the same function in a module compiled anew."""
    left = [outer]
    while left:
        code = left.pop()
        if (code.co_qualname, code.co_firstlineno) == (wanted.co_qualname, wanted.co_firstlineno):
            return code
        left += [part for part in code.co_consts if isinstance(part, CodeType)]
    raise AssertionError(f"{wanted.co_qualname} is not there")
