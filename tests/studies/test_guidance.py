"""What is tied in pictures, and claims of robustness that a wrong table breaks."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vergence.errors import ConfigError
from vergence.studies.guidance.robustness import (
    BETA,
    DOMAINS,
    FEWER,
    KEEP,
    OMIT,
    PERTURB,
    TIE,
    by_setting,
)
from vergence.studies.guidance.tied import IN, REVERSED, UNTIED, UNTIED_FIT, Tie, tied_set
from vergence.studies.images.spec import SetSpec, role
from vergence.studies.progress import StudyProgress
from vergence.studies.registry import STUDIES
from vergence.studies.run import run_study
from vergence.studies.study import Finished, Result
from vergence.studies.table import assemble

STUDY = STUDIES["guidance-robustness"]


def test_the_cue_goes_with_the_label_where_it_is_to_and_no_picture_comes_twice():
    spec = SetSpec(name="mpi3d-like", n_images=1800, side=8)
    images = tied_set(spec, TIE)
    labels = images.labels
    assert len(images.pixels) == len(labels) == 1800 + 3 * 300
    assert not labels.duplicated().any()
    goes = {"coffee-cup": "purple", "tennis-ball": "sea-green", "croissant": "salmon", "beer-cup": "purple"}
    holds = (labels["shape"].map(goes) == labels["background"]).to_numpy()
    for part in ("train", "fit", IN):
        n = len(images.parts[part])
        assert abs(holds[images.parts[part]].mean() - 0.9) < 4 * np.sqrt(0.09 / n)
    for part in (UNTIED, UNTIED_FIT):
        assert abs(holds[images.parts[part]].mean() - 1 / 3) < 4 * np.sqrt(2 / 9 / 300)
    assert not holds[images.parts[REVERSED]].any()
    # nothing else is tied
    told = labels.iloc[images.parts["train"]]
    assert abs(pd.crosstab(told["shape"], told["camera"], normalize="index") - 1 / 3).to_numpy().max() < 0.12
    with pytest.raises(ConfigError, match="share"):
        Tie(label="shape", cue="background", share=1.0)


def invented(run, *, gain):
    """Scores of a run in which captions that keep the cue cost `gain` wherever it is not tied."""
    stream = np.random.default_rng(run.seed)
    hides = "background" not in dict(run.mention) or bool(run.redraw)
    rows = []
    for name in run.data.scenes.space:
        value = 0.02 if hides and name == "background" else 0.9
        rows.append({"factor": name, "role": role(run, name), "probe": "linear", "metric": "matthews", "value": value})
    for reader in ("plain", "reweighted", "group DRO", "erased"):
        for domain in DOMAINS:
            value = 0.9 - (gain if domain != IN and not hides else 0) + stream.uniform(-0.01, 0.01)
            rows.append(
                {"factor": "shape", "role": role(run, "shape"), "probe": reader, "metric": f"accuracy, {domain}"}
                | {"value": value}
            )
    return [{"side": "image", **row} for row in rows]


@cache
def table(gain):
    runs = STUDY.runs("cpu", 5)
    done = [Finished(run, Path(), Result(invented(run, gain=gain)), 0.0) for run in runs]
    return assemble(STUDY, done, [STUDY.predict(run) for run in runs])


def outcomes(rows):
    return {claim.statement: claim.outcome for claim in STUDY.claims(rows) if claim.outcome}


def test_claims_hold_of_a_table_that_agrees_and_of_no_other():
    agreeing = outcomes(table(0.3))
    assert len(agreeing) == 10
    assert set(agreeing.values()) == {"holds"}
    assert set(outcomes(table(0.3).iloc[:0]).values()) == {"fails"}
    worse = outcomes(table(-0.3))
    assert all(outcome == "fails" for name, outcome in worse.items() if "lower end" in name)
    told = table(0.3)
    leaks = outcomes(told.assign(value=told["value"].where(told["factor"] != "background", 0.9)))
    assert [name for name, outcome in leaks.items() if outcome == "fails"] == [
        f"{done}: score of the cue where nothing is tied, mean over seeds" for done in (OMIT, PERTURB)
    ]


def test_settings_are_told_apart_by_their_columns():
    rows = by_setting(table(0.3)).drop_duplicates("run")
    told = rows.set_index("done")
    assert rows["done"].value_counts().to_dict() == dict.fromkeys(
        [KEEP, OMIT, PERTURB, "fewer outputs", "bottleneck"], 5
    )
    assert set(told.loc["fewer outputs", "encoding_size"]) == {FEWER}
    assert set(told.loc["bottleneck", "bottleneck"]) == {BETA}


def test_figures_are_drawn_of_what_was_measured():
    assert STUDY.figures(table(0.3)).keys() == {"domains"}
    assert STUDY.figures(table(0.3).iloc[:0]) == {}


@pytest.mark.slow
def test_the_smallest_scale_runs(tmp_path):
    with StudyProgress("test") as progress:
        run_study(STUDY, scale="smoke", out=tmp_path, present="refuse", command="x", progress=progress, workers=1)
    rows = pd.read_parquet(tmp_path / "table.parquet")
    assert rows["value"].notna().all()
    assert {f"accuracy, {domain}" for domain in DOMAINS} <= set(rows["metric"])
