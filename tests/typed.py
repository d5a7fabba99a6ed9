"""The command line as somebody types it, run in the process of the test."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ivr import cli


def ended(*words: object) -> int:
    """The exit code of `sansheng` and these words."""
    with pytest.raises(SystemExit) as over:
        cli.main([str(word) for word in words])
    assert isinstance(over.value.code, int)
    return over.value.code


class Sansheng:
    """`sansheng` with these options, whatever is typed after them."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *options: object) -> None:
        self.capsys, self.options = capsys, options

    def __call__(self, *words: object) -> tuple[int, str, str]:
        """Run a command; its exit code, standard output and standard error."""
        self.capsys.readouterr()
        code = ended(*self.options, *words)
        told = self.capsys.readouterr()
        return code, told.out, told.err

    def json(self, *words: object, code: int = 0) -> Any:
        """What a command tells a program that ends with this code."""
        over, out, err = self(*words, "--json")
        assert over == code, err
        return json.loads(out)


def on(database: object) -> tuple[str, str]:
    """The options that say which SQLite file is the database."""
    return "--database", f"sqlite:///{database}"
