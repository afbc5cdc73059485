"""All image studies in one picture: what was predicted of a score and what it was, by what was done to the factor."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vergence.errors import CorpusError
from vergence.studies.images.levers_claims import LEVERS, beside
from vergence.studies.images.measure import LINEAR, NETWORK
from vergence.studies.images.spec import CAPTIONS, CODES
from vergence.studies.images.study import SCORES
from vergence.studies.study import Drawing

APART = 0.2
"""Of a score: how far the ceiling has to be above the floor for anything to be seen between them."""


def gather(folders: Sequence[Path]) -> pd.DataFrame:
    """Read the tables of image studies, and put every score between its floor and its ceiling.

    Args:
        folders: Of studies, each with a `table.parquet`.

    Returns:
        A row for each factor of each run, read from images by a network where there is one and else by a linear probe:
        study, images, factor, role, lever, expected and value, the last two as parts of the way from floor to ceiling;
        what training took away that the untrained encoder showed is at the floor.
        Rows without an expectation are there with NaN.

    Raises:
        CorpusError: If a folder has no table.
    """
    parts = []
    for folder in folders:
        path = folder / "table.parquet"
        if not path.is_file():
            raise CorpusError(f"{folder} holds no table.parquet; pass folders of finished studies")
        parts.append(_of_study(pd.read_parquet(path)).assign(study=folder.name))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _of_study(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[table["taught_by"].isin([CAPTIONS, CODES]) & (table["side"] == "image")]
    probe = NETWORK if (rows["probe"] == NETWORK).any() else LINEAR
    rows = rows[rows["metric"].isin(SCORES) & (rows["probe"] == probe)]
    width = rows["ceiling"] - rows["floor"]
    rows, width = rows[width >= APART], width[width >= APART]
    usual = rows.loc[~rows["learned"].astype(bool), "temperature"].mode()
    return pd.DataFrame(
        {
            "images": rows["images"],
            "factor": rows["factor"],
            "role": rows["role"],
            "lever": [lever_of(row, usual.iloc[0] if len(usual) else None) for row in rows.to_dict("records")],
            "expected": ((rows["expected"] - rows["floor"]) / width).clip(0, 1),
            "value": ((rows["value"] - rows["floor"]) / width).clip(lower=0),  # both: below the floor is at it
        }
    )


def lever_of(row: dict, usual: float | None) -> str:  # type: ignore[type-arg]
    """What was done to a factor in a run; "none" if texts name it rightly and nothing else is done.

    Args:
        row: Of a table: role, encoding_size, n_unbiased, bottleneck, temperature, learned.
        usual: The temperature of most runs of its study, of which another one is a lever.
    """
    pulled = {
        "omit": row["role"] in {"omitted", "private", "at times"},
        "perturb": row["role"] == "perturbed",
        "size": row["role"] == "unbiased" and row["encoding_size"] < row["n_unbiased"],
        "beta": row["bottleneck"] > 0,
        "tau": not row["learned"] and usual is not None and row["temperature"] != usual,
    }
    names = [name for name, is_pulled in pulled.items() if is_pulled]
    return "none" if not names else names[0] if len(names) == 1 else "several"


def drawing(folders: Sequence[Path]) -> Drawing:
    """Measured over predicted of all scores, coloured by lever; rank correlation and mean distance in the caption."""
    table = gather(folders)
    said = f"Scores of {table['study'].nunique()} studies on images, by what was done to the factor;"
    open_ones = int(table["expected"].isna().sum())
    said += f" {open_ones:,} more are open and not drawn. What is below the untrained encoder is drawn at 0."
    return beside(table, said, levers=tuple(LEVERS))
