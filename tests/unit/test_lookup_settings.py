"""What a line's file says of a lookup, and how a mistake there is told."""

from __future__ import annotations

import pytest
from back_ends import lookups

from ivr.document import BadFile


@pytest.mark.parametrize(
    ("yaml", "sentence"),
    [
        ("kind: ldap\nfields: [a]", "line.yaml:3 F621 'ldap' is no kind of lookup"),
        ("fields: [a]", "is no kind of lookup"),
        (
            "kind: sql\nfields: [a]\ndatabase: x",
            "line.yaml:3 F107 a lookup of kind sql needs 'query'",
        ),
        (
            'kind: http\nurl: "https://h/{item}"\nfields: [a]\nquery: x',
            "the key 'query' is unknown",
        ),
        ('kind: sql\ndatabase: x\nquery: "DELETE FROM x"\nfields: [a]', "line.yaml:5 F625"),
        ('kind: sql\ndatabase: x\nquery: "SELECT 1"\nfields: [a]\nseveral: many', "F112"),
        ('kind: sql\ndatabase: "X Y"\nquery: "SELECT 1"\nfields: [a]', "is no database's name"),
        ('kind: http\nurl: "https://{item}/x"\nfields: [a]', "the host of a lookup is fixed"),
        ('kind: http\nurl: "https://me:pw@h/{item}"\nfields: [a]', "holds no password"),
        ('kind: http\nurl: "ftp://h/{item}"\nfields: [a]', "is no address"),
        ('kind: http\nurl: "https://h/{Item}"\nfields: [a]', "a brace in the address"),
        (
            'kind: http\nurl: "https://h/{item}"\nfields: [a]\ntoken: s3cret',
            "no environment variable",
        ),
        (
            'kind: http\nurl: "https://h/{item}"\nfields: [a]\nresults: {b: [x]}',
            "the key 'b' is unknown",
        ),
        ('kind: http\nurl: "https://h/{item}"\nfields: [a]\nresults: {a: x}', "is a list"),
        ('kind: http\nurl: "https://h/{item}"\nfields: [A b]', "'A b' is no name for a value"),
        ('kind: http\nurl: "https://h/{item}"\nfields: [a]\nlimit: soon', "line.yaml:6 F110"),
        ('kind: http\nurl: "https://h/{item}"\nfields: [a]\nlimit: 0 s', "a limit of nothing"),
    ],
)
def test_a_mistake_in_a_lookup_is_told_with_its_place(yaml: str, sentence: str) -> None:
    with pytest.raises(BadFile) as told:
        lookups(yaml)
    assert sentence in str(told.value)
