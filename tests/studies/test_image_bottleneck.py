"""Studies of the bottleneck paper and of four levers: their runs, their laws, and tables that refute their claims."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
import torch

from vergence.errors import ConfigError, CorpusError, ShapeError
from vergence.metrics.trends import trend
from vergence.scenes import scenes
from vergence.studies.images import bottleneck, levers, together
from vergence.studies.images.bottleneck import MPI3D, SHAPES3D, splits
from vergence.studies.images.bottleneck_claims import runs_of
from vergence.studies.images.law import of_sphere, recall
from vergence.studies.images.levers_claims import TARGET, effects
from vergence.studies.images.measure import variance_share
from vergence.studies.images.spec import CAPTIONS, CODES, LABELS, NOTHING, USUAL, ImageRun, role
from vergence.studies.images.study import label, predictions
from vergence.studies.study import Claim, Finished, Result, Row
from vergence.studies.table import assemble

STUDIES = {study.name: study for study in (*bottleneck.STUDIES, *levers.STUDIES)}


@pytest.mark.parametrize("name", STUDIES)
def test_runs_are_listed_beforehand_each_with_a_name_of_its_own_and_between_its_ends(name: str) -> None:
    study = STUDIES[name]
    for scale in study.scales:
        runs = study.runs(scale, study.seeds(scale))
        assert len({study.label(run) for run in runs}) == len(runs)
        assert {run.taught_by for run in runs} >= {LABELS, NOTHING}


def test_the_runs_of_a_machine_without_a_gpu_are_within_a_hundred_thousand_images() -> None:
    runs = [run for study in STUDIES.values() for run in study.runs("cpu", study.seeds("cpu"))]
    assert len({*runs}) <= 260
    assert all(run.budget.epochs * run.data.n_images * 2 / 3 <= 100_000 for run in runs)


@pytest.mark.parametrize("name", [SHAPES3D, MPI3D])
def test_splits_are_drawn_once_each_with_essence_and_nuisances(name: str) -> None:
    drawn = splits(name, 31)
    assert len(set(drawn)) == 31
    assert all(0 < len(essence) < len(scenes(name).space.names) for essence in drawn)
    assert drawn[:5] == splits(name, 5)


def test_the_loss_is_the_published_one_way_with_a_temperature_learned_from_its_first() -> None:
    for study in bottleneck.STUDIES:
        taught = [run for run in study.runs("paper", 1) if run.taught_by == CODES]
        assert {run.objective for run in taught} == {"one_way"}
        assert {run.temperature for run in taught if run.learned} == {0.07}


def test_readings_are_part_of_a_run_only_where_they_are_not_the_usual() -> None:
    study = STUDIES["levers"]
    run = study.runs("smoke", 1)[0]
    assert study.key(run)["readings"] == run.readings
    assert "readings" not in study.key(replace(run, readings=USUAL))
    with pytest.raises(ConfigError, match="unknown reading 'image/eye'"):
        replace(run, readings=("image/eye",))


def test_the_share_of_a_factor_is_that_of_an_analysis_of_variance() -> None:
    stream = torch.Generator().manual_seed(0)
    classes = torch.randint(4, (4000,), generator=stream)
    noise = torch.randn(4000, 3, generator=stream)
    assert abs(variance_share(noise, classes)) < 0.01
    both = torch.eye(4)[classes][:, :3] * 2 + noise
    expected = 3 * 4 * 3 / 16 / (3 * 4 * 3 / 16 + 3)
    assert variance_share(both, classes) == pytest.approx(expected, abs=0.03)
    assert variance_share(both * 5 + 1, classes) == pytest.approx(variance_share(both, classes), abs=1e-5)


def test_a_trend_has_the_sign_of_what_goes_together_and_no_interval_where_nothing_changes() -> None:
    x = np.arange(30.0)
    stream = np.random.default_rng(3)
    falling = trend(x, -x + stream.normal(size=30) * 6, generator=np.random.default_rng(0))
    assert falling.low < falling.rho < falling.high < 0
    assert (falling.verdict(-1), falling.verdict(1)) == ("agree", "disagree")
    unrelated = trend(x, stream.permutation(x), generator=np.random.default_rng(0))
    assert unrelated.low < 0 < unrelated.high
    assert unrelated.verdict(-1) == "undecided"
    assert np.isnan(trend(x, np.ones(30), generator=np.random.default_rng(0)).rho)
    assert trend(x, np.ones(30), generator=np.random.default_rng(0)).verdict(1) == "undecided"
    with pytest.raises(ShapeError, match="equal length"):
        trend(x, x[:3], generator=np.random.default_rng(0))


def test_the_law_gives_all_of_the_sphere_to_what_codes_say_in_proportion_to_its_directions() -> None:
    runs = STUDIES["bottleneck-beta"].runs("cpu", 1)
    run = next(run for run in runs if run.taught_by == CODES and run.data.name == "shapes3d-like")
    shares, alike = of_sphere(run)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-6)
    assert shares["scale"] / shares["shape"] == pytest.approx(7 / 3, rel=1e-3)
    assert shares["wall_hue"] < 1e-3
    assert alike == pytest.approx(1, abs=1e-3)


def test_recall_is_that_of_an_image_drawn_from_the_cell_that_a_text_names() -> None:
    study = STUDIES["levers"]
    base = next(run for run in study.runs("cpu", 1) if run.contrastive)
    stream = np.random.default_rng(0)
    sizes = {name: len(base.data.scenes.space[name].values or ()) for name in base.data.scenes.captioned}
    images = np.stack([stream.integers(k, size=2048) for k in sizes.values()], axis=1)
    same = (images[:, None] == images[None]).all(2).sum(1)
    assert recall(base) == pytest.approx((1 / same).mean(), rel=0.03)
    half = levers.run_of(levers.HALF, 0, study.at("cpu"))
    without = levers.run_of(replace(levers.BASE, named=0.0), 0, study.at("cpu"))
    assert recall(half) == pytest.approx((recall(base) + recall(without)) / 2)
    wrong = levers.run_of(levers.WRONG, 0, study.at("cpu"))
    assert recall(wrong) == pytest.approx(recall(base) * (0.5 + 0.5 / sizes[TARGET]))


def invented(run: ImageRun) -> list[Row]:
    """Rows of a run as the paper and the theory would have them, with an own small number for each."""
    stream = np.random.default_rng(crc32(label(run).encode()))
    essence = run.misalignment.selected
    spill = 0.3 if run.learned else 0.1 / run.temperature / 4
    left = spill / (1 + 3 * run.bottleneck) / (1 + len(essence))
    told = {row["factor"]: row["expected"] for row in predictions(run, sides=["image"])} if run.contrastive else {}
    rows: list[Row] = []
    for name in run.data.scenes.space:
        said = run.taught_by == LABELS or name in essence
        value = {LABELS: 0.97, NOTHING: 0.1}.get(run.taught_by, 0.95 if said else left)
        if run.taught_by == CAPTIONS and told[name] is not None:
            value = 0.1 + 0.87 * told[name]
        value += stream.uniform(0, 0.02)
        base = {"side": "image", "factor": name, "role": role(run, name), "probe": "linear"}
        rows += [{**base, "metric": metric, "value": value} for metric in ("matthews", "urr", "nats")]
        rows.append({**base, "probe": "mlp", "metric": "matthews", "value": value})
        rows.append({**base, "probe": "", "metric": "share", "value": 0.0})
    for row in rows:
        row["low"], row["high"] = row["value"] - 0.02, row["value"] + 0.02
    if run.contrastive:
        both = {"side": "both", "factor": "all", "role": "alignment", "probe": ""}
        alike = 1 - left + stream.uniform(0, 1e-3)
        measured = {
            "cka": alike,
            "knn1": alike,
            "knn5": alike,
            "recall1": 0.1,
            "temperature": 0.1 - run.bottleneck / 100,
        }
        rows += [{**both, "metric": metric, "value": value} for metric, value in measured.items()]
    return rows


def silent(run: ImageRun) -> list[Row]:
    """Shares as the law has them where it is quick to say: nothing of what is left out."""
    bare = {"predicted_low": None, "predicted_high": None, "reason": "", "told": None}
    rows = [
        {"side": "image", "factor": name, "metric": "share", "expected": 0.0, **bare} for name in run.data.scenes.space
    ]
    return [*rows, {"side": "both", "factor": "all", "metric": "cka", "expected": 1.0, **bare}]


@cache
def agreeing(name: str) -> pd.DataFrame:
    """A table that everything claimed is true of."""
    study = replace(STUDIES[name], expects=silent)
    runs = study.runs("cpu", 1)
    done = [Finished(run, Path(), Result(invented(run)), 0.0) for run in runs]
    return assemble(study, done, [study.predict(run) for run in runs])


def shuffled(table: pd.DataFrame) -> pd.DataFrame:
    """Every kind of number keeps its values, but they are other rows'."""
    stream = np.random.default_rng(1)
    mixed = table.groupby(["metric"])["value"].transform(stream.permutation)
    ends = {name: np.random.default_rng(2).permutation(table[name]) for name in ("floor", "ceiling", "expected")}
    return table.assign(value=mixed, **ends)


def turned(table: pd.DataFrame) -> pd.DataFrame:
    """What grew shrinks; where a sign was claimed of two columns, which both would turn, nothing changes at all."""
    both_turn = table["bottleneck"].eq(0).all()
    return table.assign(value=-1.0 if both_turn else 1 - table["value"])


REFUTING: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "empty": lambda table: table.iloc[:0],
    "unmeasured": lambda table: table.assign(value=np.nan),
    "turned": turned,
}


def failing(claims: list[Claim]) -> set[str]:
    return {claim.statement for claim in claims if claim.outcome == "fails"}


@pytest.mark.parametrize("name", STUDIES)
def test_every_bounded_claim_is_met_by_a_table_that_agrees(name: str) -> None:
    claims = STUDIES[name].claims(agreeing(name))
    assert sum(claim.outcome is not None for claim in claims) >= 5
    assert failing(claims) == set()


@pytest.mark.parametrize("refuting", REFUTING)
@pytest.mark.parametrize("name", STUDIES)
def test_a_table_that_refutes_makes_every_bounded_claim_fail(name: str, refuting: str) -> None:
    claims = STUDIES[name].claims(REFUTING[refuting](agreeing(name)))
    bounded = {claim.statement for claim in claims if claim.outcome is not None}
    spared = {one for one in bounded if one.endswith(": splits")} if refuting != "empty" else set()
    assert bounded - failing(claims) <= spared


@pytest.mark.parametrize("name", STUDIES)
def test_a_shuffled_table_breaks_what_a_trend_or_a_place_was_claimed_of(name: str) -> None:
    claims = STUDIES[name].claims(shuffled(agreeing(name)))
    bounded = [claim.statement for claim in claims if claim.outcome is not None]
    assert len(failing(claims)) >= len(bounded) / 2


def test_a_disagreement_is_called_so_and_fails() -> None:
    table = agreeing("bottleneck-alignment")
    turned = table.assign(value=table["value"].where(table["metric"] != "cka", 1 - table["value"]))
    claims = [claim for claim in STUDIES["bottleneck-alignment"].claims(turned) if claim.statement.endswith("interval")]
    of_cka = [claim for claim in claims if "and cka" in claim.statement]
    assert len(of_cka) == 2
    assert all(claim.outcome == "fails" and claim.where.endswith("disagree") for claim in of_cka)


def test_runs_are_told_by_means_over_their_nuisances_and_their_essence() -> None:
    runs = runs_of(agreeing("bottleneck-beta"))
    assert len(runs) == 28
    assert runs["essence_urr"].min() > 0.9
    assert runs["nuisance_urr"].max() < 0.3


def test_levers_are_told_apart_and_combinations_are_called_several() -> None:
    found = effects(agreeing("levers"))
    counts = found.groupby("seed")["lever"].value_counts().loc[0]
    assert dict(counts) == {"none": 1, "omit": 3, "perturb": 2, "size": 2, "beta": 2, "tau": 3, "several": 11}


@pytest.mark.parametrize("name", STUDIES)
def test_figures_are_drawn_of_what_was_measured_and_none_of_an_empty_table(name: str) -> None:
    study, table = STUDIES[name], agreeing(name)
    drawn = study.figures(table)
    assert drawn
    assert all(drawing.caption.endswith(".") for drawing in drawn.values())
    assert study.figures(table.iloc[:0]) == {}


def test_all_image_studies_are_gathered_between_floor_and_ceiling_and_told_by_lever(tmp_path: Path) -> None:
    for name in ("levers", "bottleneck-beta"):
        (tmp_path / name).mkdir()
        agreeing(name).to_parquet(tmp_path / name / "table.parquet")
    table = together.gather([tmp_path / "levers", tmp_path / "bottleneck-beta"])
    assert set(table["study"]) == {"levers", "bottleneck-beta"}
    assert set(table.loc[table["study"] == "levers", "lever"]) == {
        "none", "omit", "perturb", "size", "beta", "tau", "several"
    }  # fmt: skip
    assert table["expected"].dropna().between(0, 1).all()
    said = together.drawing([tmp_path / "levers"]).caption
    assert "rank correlation 0." in said or "rank correlation 1." in said
    assert "mean distance 0." in said
    with pytest.raises(CorpusError, match="holds no table"):
        together.gather([tmp_path])
