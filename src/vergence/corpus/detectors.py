"""How often detectors confuse the values of their factors, from a JSON or CSV file."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from vergence.corpus.errata import DetectorError, Stratum
from vergence.corpus.lexicon import Lexicon
from vergence.errors import ConfigError, CorpusError, FactorError, unknown
from vergence.files import parse_json, read_text

COLUMNS = ("factor", "value", "label", "rate")

SAMPLED = "(sampled)"
"""Beside factors in JSON: the answers that their rates were estimated from."""

_FORM = "write JSON {factor: {value: {label: rate}}}, or CSV with the columns factor,value,label,rate"


def read_detectors(path: str | Path, lexicon: Lexicon) -> dict[str, DetectorError]:
    """Read how often detectors confuse the values of their factors.

    In JSON, `{factor: {value: {label: rate}}}`; otherwise CSV with the columns `factor,value,label,rate` and no others.
    A rate is the probability that an image which shows the value gets the label; one that is not given is 0. Rates are
    known, unless JSON also says from which answers they were estimated, as `written` has it: `"(sampled)"`, `{factor:
    [{"label", "images", "answers": {value: count}}]}`, a record for each stratum.

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
    rates, sampled = _json(path) if path.suffix.lower() == ".json" else (_csv(path), {})
    for where, (factor, value, label), rate in rates:
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
    return _detectors(path, kinds, matrices, sampled)


def _detectors(
    path: Path,
    kinds: Mapping[str, tuple[str, ...]],
    matrices: Mapping[str, np.ndarray],
    sampled: Mapping[str, Sequence[Stratum]],
) -> dict[str, DetectorError]:
    try:
        known = {factor: DetectorError(kinds[factor], np.nan_to_num(matrix)) for factor, matrix in matrices.items()}
        estimated = {
            factor: DetectorError.from_sample(kinds[factor], strata)
            for factor, strata in sampled.items()
            if factor in known
        }
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    for factor in sampled:
        if factor not in known or not np.allclose(known[factor].confusion, estimated[factor].confusion, atol=1e-6):
            raise ConfigError(
                f"{path}: the rates of factor {factor!r} are not those of its {SAMPLED} answers; remove these to have "
                "the rates taken as known"
            )
    return known | estimated


def written(
    detectors: Mapping[str, DetectorError], sampled: Mapping[str, Sequence[Stratum]]
) -> dict[str, dict[str, Any]]:
    """Rates as `read_detectors` reads them from JSON.

    Args:
        detectors: By factor.
        sampled: By factor, the answers that its rates were estimated from.
    """
    content: dict[str, dict[str, Any]] = {}
    for factor, detector in detectors.items():
        rows = zip(detector.values, detector.confusion.tolist(), strict=True)
        content[factor] = {
            value: {label: rate for label, rate in zip(detector.values, row, strict=True) if rate}
            for value, row in rows
        }
    if sampled:
        content[SAMPLED] = {
            factor: [{"label": one.label, "images": one.images, "answers": dict(one.answers)} for one in strata]
            for factor, strata in sampled.items()
        }
    return content


Rate = tuple[str, tuple[str, str, str], float]  # where it stands; factor, value and label; the rate


def _strata(content: Any, path: Path) -> dict[str, list[Stratum]]:
    form = '[{"label": text, "images": count, "answers": {value: count}}]'
    found: dict[str, list[Stratum]] = {}
    for factor, records in _mapping(content, path, f"{SAMPLED}").items():
        found[factor] = []
        for record in records if isinstance(records, list) else [records]:
            try:
                label, images, answers = (record[name] for name in ("label", "images", "answers"))
                if not (isinstance(label, str) and all(map(_is_count, (images, *answers.values())))):
                    raise TypeError
            except (AttributeError, KeyError, TypeError) as error:
                raise CorpusError(f"{path}: {SAMPLED} of factor {factor!r} must be {form}; got {record!r}") from error
            try:
                found[factor].append(Stratum(label, images, answers))
            except ConfigError as error:
                raise ConfigError(f"{path}: {error}") from error
    return found


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _json(path: Path) -> tuple[Iterator[Rate], dict[str, list[Stratum]]]:
    content = _mapping(parse_json(read_text(path), where=str(path)), path, "the file")
    sampled = _strata(content.pop(SAMPLED), path) if SAMPLED in content else {}
    return _rates(content, path), sampled


def _rates(content: dict[str, Any], path: Path) -> Iterator[Rate]:
    for factor, rows in content.items():
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
