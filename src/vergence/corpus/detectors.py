"""How often detectors confuse the values of their factors, from a JSON or CSV file."""

import csv
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from vergence.corpus.errata import DetectorError
from vergence.corpus.lexicon import Lexicon
from vergence.errors import ConfigError, CorpusError, FactorError, unknown
from vergence.files import parse_json, read_text

COLUMNS = ("factor", "value", "label", "rate")

_FORM = "write JSON {factor: {value: {label: rate}}}, or CSV with the columns factor,value,label,rate"


def read_detectors(path: str | Path, lexicon: Lexicon) -> dict[str, DetectorError]:
    """Read how often detectors confuse the values of their factors.

    In JSON, `{factor: {value: {label: rate}}}`; otherwise CSV with the columns `factor,value,label,rate` and no others.
    A rate is the probability that an image which shows the value gets the label; one that is not given is 0.

    Args:
        path: The file; JSON if its name ends so.
        lexicon: Groups are factors, concepts their values and labels.

    Returns:
        Errors by factor, values in the order of the lexicon.

    Raises:
        CorpusError: If the file cannot be read as such a table: another header or shape, a rate that is no probability,
            a rate given twice, or none.
        FactorError: If a factor, value or label is not in the lexicon.
        ConfigError: If the rates of a factor are no confusion matrix that can be inverted.
    """
    path = Path(path)
    kinds = {group.name: tuple(concept.name for concept in group.concepts) for group in lexicon.groups}
    matrices: dict[str, np.ndarray] = {}
    for where, (factor, value, label), rate in _json(path) if path.suffix.lower() == ".json" else _csv(path):
        if factor not in kinds:
            raise FactorError(f"{where}: {unknown('factor', factor, kinds)}")
        for name in (value, label):
            if name not in kinds[factor]:
                raise FactorError(f"{where}: {unknown(f'value of factor {factor!r}', name, kinds[factor])}")
        if not (isfinite(rate) and 0 <= rate <= 1):
            raise CorpusError(f"{where}: the rate of {value!r} labelled {label!r} must be in [0, 1]; got {rate}")
        matrix = matrices.setdefault(factor, np.full((len(kinds[factor]),) * 2, np.nan))
        cell = kinds[factor].index(value), kinds[factor].index(label)
        if not np.isnan(matrix[cell]):
            raise CorpusError(f"{where}: the rate of {value!r} labelled {label!r} of factor {factor!r} is given twice")
        matrix[cell] = rate
    if not matrices:
        raise CorpusError(f"{path} holds no rates; {_FORM}")
    try:
        return {factor: DetectorError(kinds[factor], np.nan_to_num(matrix)) for factor, matrix in matrices.items()}
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


Rate = tuple[str, tuple[str, str, str], float]  # where it stands; factor, value and label; the rate


def _json(path: Path) -> Iterator[Rate]:
    content = parse_json(read_text(path), where=str(path))
    for factor, rows in _mapping(content, path, "the file").items():
        for value, row in _mapping(rows, path, f"factor {factor!r}").items():
            for label, rate in _mapping(row, path, f"value {value!r} of factor {factor!r}").items():
                if isinstance(rate, bool) or not isinstance(rate, int | float):
                    raise CorpusError(
                        f"{path}: the rate of {value!r} labelled {label!r} is no number: {rate!r}; {_FORM}"
                    )
                yield str(path), (factor, value, label), float(rate)


def _mapping(content: Any, path: Path, what: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise CorpusError(f"{path}: {what} cannot be read as confusion rates; got {type(content).__name__}; {_FORM}")
    if not content:
        raise CorpusError(f"{path}: {what} holds no rates; {_FORM}")
    return content


def _csv(path: Path) -> Iterator[Rate]:
    rows = csv.reader(read_text(path).splitlines(), strict=True)
    try:
        header = next(rows, [])
        if sorted(header) != sorted(COLUMNS):
            raise CorpusError(f"{path}: the header must be {','.join(COLUMNS)}; got {','.join(header)!r}; {_FORM}")
        for row in rows:
            where = f"{path}:{rows.line_num}"
            if not row:
                continue  # an empty line
            if len(row) != len(header):
                raise CorpusError(f"{where}: a row needs {len(header)} fields; got {len(row)}; {_FORM}")
            fields = dict(zip(header, row, strict=True))
            yield where, (fields["factor"], fields["value"], fields["label"]), _number(fields["rate"], where)
    except csv.Error as error:
        raise CorpusError(f"{path}:{rows.line_num}: not valid CSV: {error}; {_FORM}") from error


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise CorpusError(f"{where}: the rate is no number: {text!r}; {_FORM}") from error
