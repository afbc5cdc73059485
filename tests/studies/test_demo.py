"""The demo as a study: what is shared, what is claimed, and tables that refute it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.reports.scores import scores

from vergence.data import POLICIES
from vergence.errors import ConfigError
from vergence.reports.finding import headline
from vergence.studies.demo.drawings import ends_of
from vergence.studies.demo.spec import CEILING, FLOOR, LARGE_SIZE, MAIN_SIZE, Recipe, Teaching
from vergence.studies.demo.study import QUICK, DemoStudy
from vergence.studies.forecast.spec import SETTINGS
from vergence.studies.store import digest_of
from vergence.studies.study import FAILS, HOLDS
from vergence.studies.table import judged


def whole(seeds: int = 2) -> pd.DataFrame:
    """A table of the demo: all captions at 16 outputs, omitted tone at 3 and 64 as well."""
    table = scores(seeds=seeds)
    swept = [scores("omit").assign(encoding_size=size, floor=0.2) for size in (3, LARGE_SIZE)]
    return pd.concat([table, *swept], ignore_index=True)


def outcomes(table: pd.DataFrame, study: DemoStudy | None = None) -> list[str | None]:
    return [claim.outcome for claim in (study or DemoStudy()).claims(table)]


def test_all_claims_hold_of_a_table_that_shows_the_effect() -> None:
    found = outcomes(whole())
    assert found.count(HOLDS) == 8
    assert found.count(None) == 2


def test_an_empty_table_refutes_every_bounded_claim() -> None:
    found = outcomes(whole().iloc[:0])
    assert FAILS in found
    assert HOLDS not in found


@pytest.mark.parametrize("value", [0.0, 0.17, 0.5, 0.84, 1.0])
def test_constant_tables_refute_the_claims(value: float) -> None:
    assert FAILS in outcomes(whole().assign(value=value))


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_tables_refute_the_claims(seed: int) -> None:
    table = whole()
    generator = np.random.default_rng(seed)
    shuffled = table.assign(value=generator.permutation(table["value"]))
    assert (shuffled["value"] != table["value"]).any()
    assert FAILS in outcomes(shuffled)


def test_a_table_in_which_omission_does_nothing_refutes_what_is_said_of_omission() -> None:
    table = whole()
    table.loc[table["captions"] == "omit", "value"] = 0.8
    failed = {claim.statement for claim in DemoStudy().claims(table) if claim.outcome == FAILS}
    assert any("tone omitted: its way" in statement for statement in failed)
    assert not any("redrawn" in statement for statement in failed)


def test_one_bad_seed_is_enough_to_refute() -> None:
    table = whole()
    table.loc[(table["captions"] == "perturb") & (table["seed"] == 1), "value"] += 0.4
    assert FAILS in outcomes(table)


def test_a_quick_run_claims_nothing() -> None:
    assert set(outcomes(whole().assign(epochs=2))) == {None}


def test_captions_that_were_not_asked_for_are_not_claimed_of() -> None:
    statements = [claim.statement for claim in DemoStudy(policies=("omit",)).claims(whole())]
    assert statements
    assert all("omitted" in statement for statement in statements)


def test_runs_are_every_captions_floor_and_ceiling_and_later_seeds_the_main_size() -> None:
    runs = DemoStudy().runs("cpu", 2)
    labels = [DemoStudy().label(run) for run in runs]
    assert len(labels) == len(set(labels)) == 8 + 4 + 1 + 4 + 1 + 1
    assert {run.encoding_size for run in runs if run.name == FLOOR and run.seed == 0} == {3, 4, 16, 64}
    assert {run.encoding_size for run in runs if run.seed == 1} == {MAIN_SIZE}
    everywhere = [run.encoding_size for run in DemoStudy().runs("full", 1) if run.name == CEILING]
    assert everywhere == [3, 4, 16, 64]


def test_captions_are_known_by_what_they_say_so_that_studies_share_a_training() -> None:
    study = DemoStudy()
    for ours, theirs in (("omit", "tone omitted 1"), ("perturb", "tone redrawn 0.9"), ("faithful", "faithful")):
        demo = Teaching(name=ours, policy=POLICIES[ours], encoding_size=16, seed=0, recipe=QUICK)
        forecast = Teaching(name=theirs, policy=SETTINGS[theirs], encoding_size=16, seed=0, recipe=QUICK)
        assert digest_of(study.key(demo)) == digest_of(study.key(forecast))
    other = Teaching(name="x", policy=SETTINGS["tone omitted 0.9"], encoding_size=16, seed=0, recipe=QUICK)
    assert digest_of(study.key(other)) != digest_of(study.key(replace(other, policy=POLICIES["omit"])))
    assert digest_of(study.key(other)) != digest_of(study.key(replace(other, recipe=Recipe())))


def test_what_theory_says_of_omitted_tone_is_judged_between_floor_and_ceiling() -> None:
    rows = []
    for name, values in ((FLOOR, (0.29, 0.1)), (CEILING, (0.84, 0.7)), ("omit", (0.17, 0.6))):
        for factor, value in zip(("skin_tone", "gender"), values, strict=True):
            rows.append(
                {
                    "run": name, "captions": name, "encoding_size": 16, "seed": 0, "side": "image", "factor": factor,
                    "value": value, "low": value - 0.05, "high": value + 0.05, "told": 0.0,
                    "predicted_low": 0.0, "predicted_high": 1.0, "expected": None, "reason": "",
                }
            )  # fmt: skip
    table = pd.DataFrame(rows)
    floor, ceiling = ends_of(
        table[table["captions"] == "omit"].assign(floor=0.29, ceiling=0.84),
        {name: part.set_index(["side", "factor", "seed", "encoding_size"])[["value", "low", "high"]]
         for name, part in table.groupby("captions")},
    )  # fmt: skip
    assert floor["skin_tone"] == pytest.approx({"value": 0.29, "low": 0.24, "high": 0.34})
    assert ceiling["gender"]["value"] == 0.7
    lost = judged(table.assign(predicted_high=0.34, floor=0.29, ceiling=0.84), margin=0.05)
    assert lost.loc[lost["captions"] == "omit", "outcome"].tolist()[0] == "as predicted"
    kept = judged(
        table.assign(predicted_high=0.34, value=0.8, low=0.7, high=0.9, floor=0.29, ceiling=0.84), margin=0.05
    )
    assert set(kept["outcome"]) == {"above the prediction"}


def test_policies_are_checked() -> None:
    with pytest.raises(ConfigError, match="unknown policy 'fathful'"):
        DemoStudy(policies=("fathful",))
    with pytest.raises(ConfigError, match="each once; got omit, omit"):
        DemoStudy(policies=("omit", "omit"))
    with pytest.raises(ConfigError, match="captions need a policy"):
        Teaching(name="omit", encoding_size=16, seed=0)


def test_figures_and_terminal_follow_from_the_table() -> None:
    study, table = DemoStudy(data=None), whole()
    assert list(study.figures(table)) == ["prediction", "score_by_size"]
    assert study.lede({}, table).endswith("Ranges are over 2 trainings.")


COMMITTED = Path(__file__).parents[2] / "docs" / "results" / "demo"


def test_the_committed_claims_and_outcomes_follow_from_the_committed_table() -> None:
    table, verdict = pd.read_parquet(COMMITTED / "table.parquet"), json.loads((COMMITTED / "verdict.json").read_text())
    assert [claim.record() for claim in DemoStudy().claims(table)] == verdict["claims"]
    assert all(claim["outcome"] != FAILS for claim in verdict["claims"])
    pd.testing.assert_series_equal(judged(table, margin=DemoStudy.margin)["outcome"], table["outcome"])
    assert verdict["finding"] == headline(DemoStudy().main(table), DemoStudy().says())
