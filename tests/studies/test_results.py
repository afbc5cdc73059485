"""The committed results of the studies say what their tables say."""

import json
from pathlib import Path

import pandas as pd
import pytest

from vergence.studies.misalignment2025 import SCALES, study_of

# One folder per committed study.
RESULTS = sorted((Path(__file__).parents[2] / "docs" / "results").glob("numeric-*"))


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_a_verdict_is_recomputed_from_its_table(folder: Path) -> None:
    verdict = json.loads((folder / "verdict.json").read_text())
    table = pd.read_csv(folder / "table.csv")
    assert study_of(folder.name).verdict(table) == verdict["claims"]
    assert f"vergence study run {folder.name}" in verdict["command"]


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_a_table_holds_every_run_of_its_study(folder: Path) -> None:
    table = pd.read_csv(folder / "table.csv")
    specs = study_of(folder.name).runs(SCALES["cpu"], int(table["seed"].max()) + 1)
    assert set(table["run"]) == {spec.name for spec in specs}
