"""The committed results of the studies say what their tables say."""

import json
from pathlib import Path

import pandas as pd

from vergence.studies.misalignment2025 import SCALES, study_of

RESULTS = sorted((Path(__file__).parents[2] / "docs" / "results").glob("numeric-*"))


def test_every_verdict_is_recomputed_from_its_table() -> None:
    for folder in RESULTS:
        verdict = json.loads((folder / "verdict.json").read_text())
        assert study_of(folder.name).verdict(pd.read_csv(folder / "table.csv")) == verdict["claims"], folder.name
        assert f"vergence study run {folder.name}" in verdict["command"]


def test_every_table_holds_all_runs_of_its_study() -> None:
    for folder in RESULTS:
        table = pd.read_csv(folder / "table.csv")
        specs = study_of(folder.name).runs(SCALES["cpu"], int(table["seed"].max()) + 1)
        assert set(table["run"]) == {spec.name for spec in specs}, folder.name
