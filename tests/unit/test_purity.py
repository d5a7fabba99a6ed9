"""The core knows no clock, no socket, no file and no chance; a test reads its imports to say so."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

IVR = Path(__file__).parents[2] / "ivr"

CORE = (
    "events",
    "actions",
    "call",
    "turn",
    "flow",
    "flow_compiler",
    "line_compiler",
    "etiquette",
    "monitor",
    "manners",
    "manners_waiting",
    "manners_people",
    "manners_talk",
    "explore",
    "explored",
    "chances",
    "outside",
    "guards",
    "activities",
    "activity",
    "asking",
    "speaking",
    "waiting",
    "transferring",
    "bridging",
    "briefing",
    "staff",
    "document",
    "simulate",
    "scenario",
    "scripted_caller",
    "check",
    "wording",
)
"""Pure by their own docstrings; with all that they import from `ivr`."""

ALLOWED = {
    "__future__",
    "array",
    "collections",
    "collections.abc",
    "dataclasses",
    "difflib",
    "enum",
    "fnmatch",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "json",
    "math",
    "phonenumbers",
    "re",
    "transitions",
    "types",
    "typing",
}
"""What the core may import from outside: nothing here waits, reads, or rolls dice."""

HELD = {"scenario": {"datetime", "pathlib.PurePath"}}
"""What one module holds as a value: when a scenario's call begins, the name of its file."""

BANNED_CALLS = {"open", "eval", "exec", "__import__", "input", "print", "breakpoint"}


def tree(name: str) -> ast.Module:
    return ast.parse((IVR / f"{name}.py").read_text(encoding="utf-8"))


def imports(name: str) -> set[str]:
    """Every module imported anywhere in this one, inside functions too; of `pathlib`, the name."""
    found: set[str] = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "ivr":
                found |= {f"ivr.{alias.name}" for alias in node.names}
            elif node.module == "pathlib":
                found |= {f"pathlib.{alias.name}" for alias in node.names}
            else:
                found.add(node.module or "")
    return found


def ours(name: str) -> set[str]:
    return {module.removeprefix("ivr.") for module in imports(name) if module.startswith("ivr.")}


def reached(start: str) -> set[str]:
    found, left = {start}, [start]
    while left:
        for name in ours(left.pop()) - found:
            found.add(name)
            left.append(name)
    return found


@pytest.mark.parametrize("start", CORE)
def test_the_core_and_all_it_imports_use_only_what_is_allowed(start):
    for name in reached(start):
        outside = {module for module in imports(name) if not module.startswith("ivr.")}
        assert outside - ALLOWED - HELD.get(name, set()) == set(), f"ivr/{name}.py"


@pytest.mark.parametrize("name", CORE)
def test_the_core_imports_at_the_top_of_its_files_only(name):
    inside = [
        node.lineno
        for function in ast.walk(tree(name))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert inside == []


@pytest.mark.parametrize("name", CORE)
def test_the_core_opens_prints_and_evaluates_nothing(name):
    called = {
        node.func.id
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called & BANNED_CALLS == set()


@pytest.mark.parametrize("name", CORE)
def test_the_core_waits_for_nothing(name):
    waiting = ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith
    assert not any(isinstance(node, waiting) for node in ast.walk(tree(name)))


def test_the_machine_imports_only_the_vocabulary_and_the_flows():
    assert ours("events") == set()
    assert ours("actions") == {"events"}
    assert ours("call") <= {"actions", "activity", "events", "flow", "turn"}
    assert ours("turn") <= {"actions", "activity", "events", "flow", "call"}
    assert "call" not in reached("etiquette"), "the monitors do not know how the machine works"


def test_the_allowed_modules_are_libraries_that_come_with_python_or_are_declared():
    declared = {"phonenumbers", "transitions"}
    assert {module.partition(".")[0] for module in ALLOWED} - declared <= sys.stdlib_module_names


def test_no_organisation_is_named_in_the_engine():
    """Names belong to flows/hotlines and prompts."""
    names = ("xjca", "lakala", "infodesk", "拉卡拉", "新疆", "邮政", "信息处")
    for path in IVR.rglob("*.py"):
        code = ast.parse(path.read_text(encoding="utf-8"))
        texts = {
            node.value
            for node in ast.walk(code)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        docs = {
            ast.get_docstring(node, clean=False)
            for node in ast.walk(code)
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
        }
        spoken = [text for text in texts - docs for name in names if name in text]
        assert spoken == [], path.name
