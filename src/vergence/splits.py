"""Splits for which a test concept is new: all forms of one concept fall on one side."""

from collections.abc import Hashable, Iterable, Mapping
from itertools import accumulate
from math import isclose
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from jaxtyping import Int

from vergence.arrow import read_table
from vergence.checks import positive
from vergence.errors import ConfigError, CorpusError, ShapeError, unknown
from vergence.files import whole

SPLIT_FILE = "split.parquet"
"""In the folder of a run and of an exported encoder: which rows were trained on."""

SIDES = ("fit", "held_out", "skipped")
_SCHEMA = pa.schema(
    [("row", pa.int64()), *((name, pa.string()) for name in ("key", "image", "cluster", "side", "reason"))]
)


def split_by_concept(
    concepts: Iterable[Hashable],
    fractions: Mapping[str, float],
    *,
    generator: torch.Generator,
    strata: Iterable[Hashable] | None = None,
) -> dict[str, Int[np.ndarray, " _"]]:
    """Split items at random so that no concept is in two splits.

    Within a stratum of n concepts, a split of fraction f gets n f concepts, rounded up or down at random, so that the
    expected share is exact. Shares are of concepts: the share of items differs where concepts differ in size.

    Args:
        concepts: The concept of each item.
        fractions: Share of the concepts by name of the split; each above 0, together 1.
        generator: Source of randomness; the same state gives the same splits.
        strata: A class of each item, whose share is kept in every split; a concept counts to that of its first item.
            `None`: no classes.

    Returns:
        Row numbers by name of the split, ascending; together each row once.

    Raises:
        ConfigError: If a fraction is not positive, they do not sum to 1, or a split remains empty.
        ShapeError: If there are not as many strata as concepts.

    Example:
        >>> splits = split_by_concept(
        ...     ["cat", "cat", "dog", "fox", "fox", "owl"],
        ...     {"train": 0.75, "test": 0.25},
        ...     generator=torch.Generator().manual_seed(0),
        ... )
        >>> {name: rows.tolist() for name, rows in splits.items()}
        {'train': [0, 1, 2, 5], 'test': [3, 4]}
    """
    concepts = list(concepts)
    strata = [None] * len(concepts) if strata is None else list(strata)
    _check(fractions, n_concepts=len(concepts), n_strata=len(strata))
    names = list(fractions)
    bounds = list(accumulate(fractions.values()))[:-1]
    split_of: dict[Hashable, str] = {}
    for members in _concepts_by_stratum(concepts, strata):
        offset = torch.rand((), generator=generator, dtype=torch.float64).item()
        positions = (torch.randperm(len(members), generator=generator).numpy() + offset) / len(members)
        chosen = np.searchsorted(bounds, positions, side="right")
        split_of.update({concept: names[k] for concept, k in zip(members, chosen, strict=True)})
    assigned = np.array([split_of[concept] for concept in concepts])
    splits = {name: np.flatnonzero(assigned == name) for name in names}
    for name, rows in splits.items():
        if not len(rows):
            raise ConfigError(
                f"split {name!r} got none of {len(split_of)} concepts; give it a larger fraction than "
                f"{fractions[name]}, or more concepts"
            )
    return splits


def hold_out(
    clusters: Iterable[Hashable], share: float, *, generator: torch.Generator
) -> tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]:
    """Split items in two, whole clusters at a time, with at least one cluster on each side.

    Args:
        clusters: The cluster of each item.
        share: Of the clusters to hold out, above 0 and below 1; rounded up or down at random.
        generator: Source of randomness.

    Returns:
        Rows that are kept and rows that are held out, ascending.

    Raises:
        ConfigError: If the share is no such number, or there are fewer than two clusters.

    Example:
        >>> kept, held_out = hold_out("aabbb", 0.1, generator=torch.Generator().manual_seed(0))
        >>> kept.tolist(), held_out.tolist()
        ([2, 3, 4], [0, 1])
    """
    clusters = list(clusters)
    if not 0 < share < 1:  # also refuses NaN
        raise ConfigError(f"a share to hold out must be above 0 and below 1; got {share!r}")
    n_clusters = len(set(clusters))
    if n_clusters < 2:
        raise ConfigError(
            f"all {len(clusters)} rows are of one cluster, so none can be held out; at least two clusters are needed"
        )
    share = min(max(share, 1 / n_clusters), 1 - 1 / n_clusters)
    split = split_by_concept(clusters, {"kept": 1 - share, "held_out": share}, generator=generator)
    return split["kept"], split["held_out"]


def write_split(path: Path, rows: pd.DataFrame) -> None:
    """Write which rows were trained on, held out and left out, as Parquet; the job's journal notes it.

    Args:
        path: The file.
        rows: The columns `row`, from 0; `key`, the identifier or `None`; `image`, a digest; `cluster`; `side`, one of
            `SIDES`; and `reason`, why a row was left out.

    Raises:
        OutputError: If it cannot be written.
    """
    table = pa.Table.from_pandas(rows, schema=_SCHEMA, preserve_index=False)
    with whole(path, of_job=True) as partial:
        pq.write_table(table, partial)


def read_split(path: Path) -> pa.Table:
    """Read what `write_split` wrote.

    Args:
        path: The file, or the folder of a run or of an exported encoder that holds it as `split.parquet`.

    Raises:
        CorpusError: If it is missing, damaged or no split.
    """
    file = path / SPLIT_FILE if path.is_dir() else path
    table = read_table(file)
    if missing := [name for name in _SCHEMA.names if name not in table.column_names]:
        raise CorpusError(f"{file} is no split of a run: it lacks {', '.join(missing)}; name the folder of a run")
    try:
        table = table.select(_SCHEMA.names).cast(_SCHEMA)
    except pa.ArrowException as error:
        raise CorpusError(f"{file} is no split of a run: {' '.join(str(error).split())[:200]}") from error
    for side in pc.unique(table["side"]).to_pylist():
        if side not in SIDES:
            raise CorpusError(f"{file}: {unknown('side', side, SIDES)}")
    return table


def _check(fractions: Mapping[str, float], *, n_concepts: int, n_strata: int) -> None:
    if n_strata != n_concepts:
        raise ShapeError(f"strata must name a class for each item; got {n_strata} for {n_concepts} items")
    for name, fraction in fractions.items():
        positive(f"fractions[{name!r}]", fraction)
    if not isclose(sum(fractions.values()), 1.0):
        raise ConfigError(f"fractions must sum to 1; got {dict(fractions)}, which sum to {sum(fractions.values()):g}")


def _concepts_by_stratum(concepts: list[Hashable], strata: list[Hashable]) -> Iterable[list[Hashable]]:
    stratum_of: dict[Hashable, Hashable] = {}
    for concept, stratum in zip(concepts, strata, strict=True):
        stratum_of.setdefault(concept, stratum)
    by_stratum: dict[Hashable, list[Hashable]] = {}
    for concept, stratum in stratum_of.items():
        by_stratum.setdefault(stratum, []).append(concept)
    return by_stratum.values()
