"""Curated captions of drawings, and claims of what they teach: verdicts follow from tables, and wrong ones break."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vergence.errors import ConfigError, FactorError
from vergence.plots.planned import expected_and_measured
from vergence.studies.demo.spec import CEILING, FLOOR
from vergence.studies.guidance.guided import RECIPES, foretold, scored
from vergence.studies.guidance.lessons import PRECISION, PROBE, ZERO_SHOT, Lesson
from vergence.studies.guidance.people import CUE, Captions, captioned, people, people_of
from vergence.studies.guidance.planned import CURATED, points_of
from vergence.studies.guidance.tied import IN, REVERSED, UNTIED, UNTIED_FIT
from vergence.studies.progress import StudyProgress
from vergence.studies.registry import STUDIES
from vergence.studies.run import run_study, strict, verdict_of
from vergence.studies.study import Claim
from vergence.studies.table import judged

RESULTS = Path(__file__).parents[2] / "docs" / "results"
DRAWINGS = ("guidance-plan", "guidance-ethics", "guidance-pretraining", "guidance-robustness-drawings")
COMMITTED = [name for name in (*DRAWINGS, "guidance-robustness") if (RESULTS / name / "verdict.json").is_file()]
SIDE = RECIPES["cpu"].side


def test_people_have_a_tone_and_a_gender_and_no_concept_is_on_both_sides() -> None:
    who = people_of(100, SIDE)
    assert who.pixels.shape == (785, 3, SIDE, SIDE)
    assert who.pairs.labels.notna().all(axis=None)
    assert not set(who.pairs.clusters[who.train]) & set(who.pairs.clusters[who.test])
    assert len(who.train) + len(who.test) == 785
    with pytest.raises(ConfigError, match="side must divide 64, the side of the drawings; got 48"):
        people(48)


def test_tied_people_go_with_their_tone_where_they_are_to_and_are_seen_nowhere_else() -> None:
    who = people_of(100, SIDE, 0.9)
    labels = who.labelled(who.pixels[:, 0, 0, :1].float(), np.arange(785)).labels
    goes = ((labels[CUE.name] == "lighter") == (labels["gender"] == "woman")).to_numpy()
    for rows in (who.train, who.domains[IN]):
        assert goes[rows].mean() == pytest.approx(0.9, abs=0.006)
    for rows in (who.domains[UNTIED], who.domains[UNTIED_FIT]):
        assert goes[rows].mean() == pytest.approx(0.5, abs=0.02)
        assert labels[CUE.name].iloc[rows].notna().all()
    assert not goes[who.domains[REVERSED]].any()
    seen = set(who.pairs.clusters[who.train])
    assert not seen & {name for domain in (IN, UNTIED, REVERSED) for name in who.pairs.clusters[who.domains[domain]]}


def test_captions_are_curated_as_asked_and_the_plan_expects_what_follows() -> None:
    who = people_of(100, SIDE)
    labels, rows = who.pairs.labels, range(len(who.pairs))
    half = CURATED["sparse, balanced"]
    said = captioned(half, who, 100, 8)
    for factor, rate in (("skin_tone", 0.6), ("gender", 0.8)):
        told = np.array([_says(said.texts[row], labels[factor].iloc[row], factor) for row in rows])
        assert abs(told.mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / 785) + 0.02
    expected = {
        row["factor"]: row["way"] for row in foretold(Lesson(name="x", captions=half, encoding_size=8, seed=100))
    }
    assert expected["skin_tone"] == pytest.approx(0.6, abs=0.05)
    assert expected["subgroup"] == 1.0
    gone = captioned(CURATED["rich, tone forgotten"], who, 100, 8)
    assert not any("skin tone" in text for text in gone.texts)
    assert all("skin tone" in text for text in gone.before)
    assert gone.edited == 1.0
    with pytest.raises(FactorError, match="unknown"):
        Captions(mention=(("tone", 0.5),))
    with pytest.raises(ConfigError, match="no captions for"):
        Lesson(name=FLOOR, captions=half, encoding_size=8, seed=0)


def _says(text: str, value: str, factor: str) -> bool:
    words = f"{value} skin tone" if factor == "skin_tone" else value
    return words in [part.strip() for part in text.replace(" of ", ", ").replace("showing ", "showing, ").split(",")]


@cache
def committed(name: str) -> pd.DataFrame:
    return pd.read_parquet(RESULTS / name / "table.parquet")


def verdict(name: str) -> dict:
    return json.loads((RESULTS / name / "verdict.json").read_text())


@pytest.mark.parametrize("name", COMMITTED)
def test_the_committed_verdict_is_that_of_the_committed_table(name: str) -> None:
    again = strict(verdict_of(STUDIES[name], committed(name)))
    found = verdict(name)
    assert {key: found[key] for key in again} == again
    assert f"vergence study run {name}" in found["command"]
    outcomes = judged(committed(name), margin=STUDIES[name].margin)["outcome"]
    assert list(outcomes) == list(committed(name)["outcome"])


def changed(table: pd.DataFrame) -> pd.Series:
    """Rows of captions that do not keep everything."""
    column = "done" if "done" in table else "captions" if "captions" in table else None
    if column is None:  # of the rendered pictures
        return ~(table["selected"].eq(5) & table["perturbed"].eq(0))
    return ~table[column].isin((FLOOR, CEILING, "keep", "rich, kept", "+ gender", "+ subgroup"))


def turned(table: pd.DataFrame) -> pd.DataFrame:
    """What is low is high and the other way round, but for the captions that keep everything."""
    return table.assign(value=table["value"].where(~changed(table), 1 - table["value"]))


def spoiled(table: pd.DataFrame) -> pd.DataFrame:
    """Captions that change anything leave the tone alone, and nothing else."""
    cue = table["factor"].isin(("skin_tone", "tone", "background"))
    return table.assign(value=table["value"].where(~changed(table), np.where(cue, 0.9, 0.0)))


def uneven(table: pd.DataFrame) -> pd.DataFrame:
    """Captions that change anything do so at the cost of one tone."""
    paying = changed(table) & table["metric"].eq("accuracy, dark")
    return table.assign(value=table["value"].where(~paying, 0.0))


def shuffled(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(value=np.random.default_rng(0).permutation(table["value"]))


REFUTING: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "empty": lambda table: table.iloc[:0],
    "all one": lambda table: table.assign(value=1.0),
    "all nothing": lambda table: table.assign(value=0.0),
    "unmeasured": lambda table: table.assign(value=np.nan),
    "turned round": lambda table: table.assign(value=1 - table["value"]),
    "turned but for what is kept": turned,
    "spoiled": spoiled,
    "uneven": uneven,
    "shuffled": shuffled,
}


def failing(claims: list[Claim]) -> set[str]:
    return {claim.statement for claim in claims if claim.outcome == "fails"}


@pytest.mark.parametrize("name", COMMITTED)
def test_every_bounded_claim_is_refuted_by_some_table(name: str) -> None:
    table, study = committed(name), STUDIES[name]
    bounded = {claim.statement for claim in study.claims(table) if claim.outcome is not None}
    refuted = {which: failing(study.claims(change(table))) for which, change in REFUTING.items()}
    assert bounded
    assert refuted["empty"] == bounded
    told = (found for which, found in refuted.items() if which not in ("empty", "unmeasured"))
    assert bounded - failing(study.claims(table)) <= set().union(*told)


@pytest.mark.parametrize("name", [name for name in COMMITTED if name in DRAWINGS])
def test_a_quick_run_claims_nothing(name: str) -> None:
    assert {claim.outcome for claim in STUDIES[name].claims(committed(name).assign(epochs=1))} == {None}


def test_points_are_means_over_seeds_where_there_is_room_to_tell() -> None:
    rows = []
    for seed, up in enumerate((0.4, 0.6)):
        for captions, value in ((FLOOR, 0.1), (CEILING, 0.9), ("half", 0.1 + 0.8 * up)):
            base = {"captions": captions, "encoding_size": 8, "seed": seed, "metric": PROBE, "value": value}
            ends = {"floor": 0.1, "ceiling": 0.9, "predicted_low": 0.1, "predicted_high": 0.9}
            rows.append({**base, **ends, "factor": "gender", "way": 0.25, "strength": 0.5})
            rows.append({**rows[-1], "factor": "subgroup", "ceiling": 0.39})
    points = points_of(pd.DataFrame(rows))
    assert len(points) == 1
    point = points.iloc[0]
    assert (point["factor"], point["up"], point["distance"]) == ("gender", pytest.approx(0.5), pytest.approx(0.25))
    assert point["missed"]  # .25 is farther than .15 and than 1.5 standard deviations, .21
    assert len(scored(pd.DataFrame(rows))) == 4
    assert len(expected_and_measured(points.assign(at="8 outputs")).axes) == 1
    with pytest.raises(ConfigError, match="missing: rows"):
        expected_and_measured(points.iloc[:0].assign(at=[]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["guidance-ethics", "guidance-robustness-drawings"])
def test_the_smallest_scale_runs_and_resumes(name: str, tmp_path: Path) -> None:
    def run(present: str) -> dict:
        with StudyProgress("test") as progress:
            return run_study(
                STUDIES[name], scale="smoke", out=tmp_path / "out", present=present, command="x", progress=progress,
                workers=1,
            )  # fmt: skip

    first = run("refuse")
    rows = pd.read_parquet(tmp_path / "out/table.parquet")
    assert rows["value"].notna().all()
    assert not [claim for claim in first["claims"] if claim["outcome"]]
    if name == "guidance-ethics":
        assert set(rows["metric"]) >= {PROBE, ZERO_SHOT, PRECISION, "nats given the rest", "accuracy, dark"}
        assert (
            rows.loc[rows["captions"].ne(CEILING) & rows["metric"].eq(PROBE), ["floor", "ceiling"]]
            .notna()
            .all(axis=None)
        )
    assert run("resume")["cpu_seconds"] == first["cpu_seconds"]
