"""Identifiers that say which item a row is of, compared by value whatever their type: 7, 7.0 and "7" name one item."""

from collections.abc import Hashable, Sequence
from decimal import Decimal

import numpy as np
from jaxtyping import Integer

from vergence.checks import one_of
from vergence.errors import CorpusError

IDENTIFIERS = ("key", "id", "ids")  # names under which identifiers are looked for, in this order
OF_IMAGE = "image"  # says of a text which image it is of, where an image has several
PAIRINGS = ("identifier", "position")  # how rows can be paired
_INDEX = "__index_level_0__"  # under which pandas writes an index that has no name
_EXACT = 2**53  # below it every whole number is a float64


def how_to_pair(
    x: Sequence[Hashable] | None, y: Sequence[Hashable] | None, *, by: str | None, x_in: object, y_in: object
) -> str:
    """Decide whether rows of two files are paired by identifier or by position.

    Args:
        x: Identifiers of one file, `None` if it has none.
        y: Those of the other.
        by: What the user asked for; `None` for identifiers if both have them, and position if neither has.
        x_in: What to call the first file in a message.
        y_in: What to call the second.

    Raises:
        ConfigError: If `by` is neither of the two.
        CorpusError: If identifiers are asked for, or found on one side, and missing on the other.
    """
    if by is not None:
        one_of("pairing", by, PAIRINGS)
    if by == "position" or (by is None and x is None and y is None):
        return "position"
    without = [str(where) for where, identifiers in ((x_in, x), (y_in, y)) if identifiers is None]
    if without:
        raise CorpusError(
            f"{' and '.join(without)} must say which item each row is of, in a column called {IDENTIFIERS[0]!r}; "
            "pair by position only if all rows are in the same order: --pair-by position"
        )
    return "identifier"


def match_rows(
    wanted: Sequence[Hashable], offered: Sequence[Hashable], *, wanted_in: object, offered_in: object
) -> Integer[np.ndarray, "wanted"]:
    """Find the row of each wanted item among those offered, comparing identifiers by value: 7, 7.0 and "7" are one.

    Args:
        wanted: Identifiers in the order in which rows are wanted.
        offered: Identifiers of the rows that there are; there may be more of them.
        wanted_in: What to call the wanted ones in a message, such as the path of their file.
        offered_in: What to call those offered.

    Returns:
        For each wanted item its row: `values[match_rows(...)]` is in the order wanted.

    Raises:
        CorpusError: If a wanted item is not offered; or if identifiers of either side are null, name an item twice, or
            are neither whole numbers nor text.

    Example:
        >>> match_rows([7, 8], ["8", "9", "7"], wanted_in="a.npy", offered_in="b.parquet").tolist()
        [2, 0]
        >>> match_rows([6, 7], ["7", "8"], wanted_in="a.npy", offered_in="b.parquet")
        Traceback (most recent call last):
        vergence.errors.CorpusError: 1 of 2 items of a.npy (whole numbers) not in b.parquet (text), such as 6; \
both must hold the same items
    """
    sought, places = row_of_each(wanted, where=wanted_in), row_of_each(offered, where=offered_in)
    missing = [name for name in sought if name not in places]
    if missing:
        raise CorpusError(
            f"{len(missing)} of {len(wanted)} items of {wanted_in} ({kind_of(wanted)}) not in {offered_in} "
            f"({kind_of(offered)}), such as {wanted[sought[missing[0]]]!r}; both must hold the same items"
        )
    return np.array([places[name] for name in sought], dtype=np.int64)


def identifier_column(names: Sequence[str]) -> str | None:
    """Which column of a Parquet file says which item each row is of; `None` if there is none.

    It is called `key`, `id` or `ids`, the first of them; or it is the index under which pandas wrote the table: one of
    these names too, or, without a name, `__index_level_0__`. An index that numbers the rows is not written as a column.

    Example:
        >>> identifier_column(["caption", "id"]), identifier_column(["shape", "__index_level_0__"])
        ('id', '__index_level_0__')
    """
    return next((name for name in (*IDENTIFIERS, _INDEX) if name in names), None)


def kind_of(identifiers: Sequence[Hashable]) -> str:
    """What identifiers are, in words: "whole numbers" or "text"; of both kinds, both.

    Example:
        >>> kind_of((7, 8)), kind_of(("7",))
        ('whole numbers', 'text')
    """
    kinds = {"text" if isinstance(one, str | bytes) else "whole numbers" for one in identifiers}
    return " and ".join(sorted(kinds, reverse=True))


def row_of_each(identifiers: Sequence[Hashable], *, where: object) -> dict[str, int]:
    """The row of each identifier, by the text that says its value.

    Raises:
        CorpusError: If one is null or neither a whole number nor text, or two are of one value.
    """
    places: dict[str, int] = {}
    for row, identifier in enumerate(identifiers):
        name = _name(identifier)
        if name is None:
            raise CorpusError(
                f"{where} must name each item by a whole number or a text; got {identifier!r} in row {row}"
            )
        if (before := places.setdefault(name, row)) != row:
            raise CorpusError(
                f"{where} names an item twice: {identifiers[before]!r} in row {before} and {identifier!r} in row {row}"
            )
    return places


def _name(identifier: object) -> str | None:
    match identifier:
        case bool() | None:
            return None
        case str():
            return identifier
        case int() | np.integer():
            return str(int(identifier))
        case float() | np.floating():
            value = float(identifier)
            return str(int(value)) if value.is_integer() and abs(value) < _EXACT else None
        case Decimal():
            return str(int(identifier)) if identifier.is_finite() and identifier % 1 == 0 else None
        case bytes():
            return identifier.decode("utf-8", "backslashreplace")
        case _:
            return None
