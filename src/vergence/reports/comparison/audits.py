"""Two audits: what captions mention, omit and get wrong, and how strongly they teach, before and after."""

from collections.abc import Mapping
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from vergence.errors import ConfigError, CorpusError
from vergence.files import read_json
from vergence.probes.comparison import HIGHER, LOWER, Compared, unpaired_rows

_UNPAIRED = (
    "audits hold counts, so the two sides are taken to be independent: intervals are wide where both are of the same "
    "images"
)
_RATES = {"selection": HIGHER, "wrong_value": LOWER}
_METRIC = {"selection": "mention rate", "wrong_value": "wrong rate"}


def compare_audits(before: Path, after: Path) -> Compared:
    """Compare two folders of `vergence audit`.

    Rows: the share of captions that mention each group and each concept; with labels, how often captions mention each
    factor and value and how often what they say is wrong, and the strengths of the spectrum. An audit holds counts, not
    captions, so the two sides do not pair, and intervals are careful where they are of the same images.

    Raises:
        CorpusError: If a folder holds no coverage.
        ConfigError: If the two were made by different lexicons, or matched words differently.
    """
    one, other = (_read(path) for path in (before, after))
    for what, there in (("lexicon", ("lexicon", "sha256")), ("--match", ("match",))):
        if len({_at(side, there) for side in (one, other)}) > 1:
            names = [f"{side['lexicon']['name']} ({side['match']})" for side in (one, other)]
            raise ConfigError(
                f"{before} and {after} were audited with a different {what}: {names[0]} and {names[1]}; audit both "
                "with the same one"
            )
    notes = [_UNPAIRED]
    parts = [
        _shares(one["groups"], other["groups"], "groups", ["group"]),
        _shares(one["concepts"], other["concepts"], "concepts", ["group", "concept"]),
    ]
    labelled = ["misalignment" in side for side in (one, other)]
    if all(labelled):
        rows = [side.get("labels", {}).get("rows") for side in (one, other)]
        if rows[0] != rows[1]:
            notes.append(f"labels are of {rows[0]} rows before and {rows[1]} after")
        parts.append(_rates(one["misalignment"], other["misalignment"], "factors", ["factor"]))
        parts.append(
            _rates(one["misalignment_by_value"], other["misalignment_by_value"], "values", ["factor", "value"])
        )
        parts.append(_strengths(one["spectrum"], other["spectrum"]))
    elif any(labelled):
        without = before if not labelled[0] else after
        notes.append(f"{without} was audited without labels, so what captions get wrong is not compared")
    known = [part for part in parts if len(part)]
    table = pd.concat(known, ignore_index=True) if known else pd.DataFrame()
    mentions = int(one["captions"]), int(other["captions"])
    notes.insert(0, f"{mentions[0]:,} captions before, {mentions[1]:,} after")
    return Compared(table, notes=tuple(notes))


def _read(folder: Path) -> dict[str, Any]:
    content = read_json(folder / "coverage.json")
    if not isinstance(content, dict) or not {"lexicon", "match", "groups", "concepts", "captions"} <= content.keys():
        raise CorpusError(f"{folder / 'coverage.json'} is no coverage; name the --out folder of vergence audit")
    return content


def _at(content: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    for name in path:
        content = content[name]
    return content


def _shares(one: list[Any], other: list[Any], section: str, by: list[str]) -> pd.DataFrame:
    joined = _joined(one, other, by, "share", ("low", "high"))
    names = {"group": joined["group"] if section == "concepts" else "", "name": joined[by[-1]]}
    return unpaired_rows(
        joined.assign(**names, section=section, metric="share of captions", better=HIGHER, ceiling=1.0)
    )


def _rates(one: list[Any], other: list[Any], section: str, by: list[str]) -> pd.DataFrame:
    made = []
    for rate, better in _RATES.items():
        joined = _joined(one, other, by, rate, (f"{rate}_low", f"{rate}_high"))
        group = joined["factor"] if section == "values" else ""
        made.append(joined.assign(group=group, name=joined[by[-1]], metric=_METRIC[rate], better=better))
    table = pd.concat(made, ignore_index=True)
    return unpaired_rows(table.assign(section=section)) if len(table) else table


def _strengths(one: list[Any], other: list[Any]) -> pd.DataFrame:
    """Directions of each factor, the strongest first; equal ones stand together and count as many."""
    sides = []
    for side in (one, other):
        spread = [
            {"factor": ", ".join(row["factors"]), "strength": row["strength"], "low": row["low"], "high": row["high"]}
            for row in side
            for _ in range(int(row["multiplicity"]))
        ]
        table = pd.DataFrame(spread, columns=["factor", "strength", "low", "high"])
        table["direction"] = table.groupby("factor").cumcount() + 1
        sides.append(table.to_dict("records"))
    joined = _joined(sides[0], sides[1], ["factor", "direction"], "strength", ("low", "high"))
    if joined.empty:
        return joined
    names = [f"direction {place}" for place in joined["direction"]]
    joined = joined.assign(group=joined["factor"], name=names)
    return unpaired_rows(joined.assign(section="spectrum", metric="strength", better=HIGHER, ceiling=1.0))


def _joined(one: list[Any], other: list[Any], by: list[str], value: str, ends: tuple[str, str]) -> pd.DataFrame:
    """Both sides of what both have, with its limits; a score that one side has not is left out."""
    columns = [*by, value, *ends]
    sides = []
    for name, rows in (("before", one), ("after", other)):
        table = pd.DataFrame(rows, columns=list(rows[0]) if rows else columns).reindex(columns=columns)
        new = dict(zip((value, *ends), (name, f"{name}_low", f"{name}_high"), strict=True))
        sides.append(table.rename(columns=new))
    joined = sides[0].merge(sides[1], on=by, how="inner")
    numbers = [f"{side}{end}" for side in ("before", "after") for end in ("", "_low", "_high")]
    joined[numbers] = joined[numbers].astype(float).fillna(nan)
    return joined.dropna(subset=["before", "after"]).reset_index(drop=True)
