"""Awareness against coverage that is assigned: the slope, the captions, what theory says, tables that refute it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vergence.cli.main import main
from vergence.errors import ConfigError, ShapeError
from vergence.misalignment import Misalignment
from vergence.studies.causal import CausalStudy, slopes
from vergence.studies.causal.panels import panel_of
from vergence.studies.causal.predict import LIMIT, mentions_needed, predictions, strengths
from vergence.studies.causal.said import captions_of, coverage_of
from vergence.studies.causal.sets import hue_gaps, load_concepts
from vergence.studies.causal.slopes import Panel, difference_of, ratio_of, slope_of
from vergence.studies.causal.spec import (
    ASSIGNED,
    DRAWINGS,
    EASY_FIRST,
    LABELS,
    NATURAL,
    RATES,
    RENDERED,
    SCALES,
    TEACHERS,
    CausalRun,
    SetSpec,
    assigned_rates,
)
from vergence.studies.study import FAILS, HOLDS
from vergence.studies.table import judged
from vergence.theory import spectrum

FAILING = {  # said in docs/awareness-study.md
    "drawings: F1 per tenfold coverage, assigned, values fixed, lower end",
    "drawings: F1 per tenfold coverage, observed over values, natural captions, lower end",
    "drawings: slope of the wide encoder over that of the narrow one, assigned",
}
COMMITTED = Path(__file__).parents[2] / "docs" / "results" / "awareness-causal"
SMALL = SetSpec(name=RENDERED, n_images=960, side=12, least=1e-3)


def by_normal_equations(panel: Panel, runs: np.ndarray, values: np.ndarray) -> float:
    """The slope of least squares on indicators of every run and value, in float64, weighted."""
    n_runs, n_values = panel.x.shape
    rows, y, weights = [], [], []
    for r in range(n_runs):
        for v in range(n_values):
            effects = [float(r == i) for i in range(n_runs)]
            if panel.fixed:
                effects += [float(v == i) for i in range(1, n_values)]
            rows.append([panel.x[r, v], *effects])
            y.append(panel.y[r, v])
            weights.append(runs[r] * values[v])
    design, root = np.array(rows), np.sqrt(weights)
    return float(np.linalg.lstsq(design * root[:, None], np.array(y) * root, rcond=None)[0][0])


@pytest.mark.parametrize("fixed", [True, False])
def test_the_slope_is_that_of_least_squares_on_indicators_of_runs_and_values(fixed: bool) -> None:
    rng = np.random.default_rng(0)
    panel = Panel(rng.normal(size=(4, 7)), rng.normal(size=(4, 7)), fixed)
    runs, values = rng.uniform(0.5, 2, 4), rng.uniform(0.5, 2, 7)
    assert panel.slope == pytest.approx(by_normal_equations(panel, np.ones(4), np.ones(7)), rel=1e-10)
    assert panel.slopes(runs[None], values[None])[0] == pytest.approx(
        by_normal_equations(panel, runs, values), rel=1e-10
    )


def drawn(rng: np.random.Generator, *, confounded: float) -> tuple[Panel, Panel]:
    """An assigned and an observed panel: the causal slope is .2, ease adds to what is observed."""
    k, x = 24, np.linspace(-3, 0, 24)
    ease = 0.15 * (confounded * x + rng.normal(size=k))
    assigned = np.stack([rng.permutation(x) for _ in range(6)])
    by_value, by_run = rng.normal(0.2, 0.05, k), rng.normal(0, 0.02, (6, 1))
    panels = []
    for each, fixed in ((assigned, True), (np.tile(x, (3, 1)), False)):
        noise = rng.normal(0, 0.05, each.shape)
        panels.append(Panel(each, ease + (by_value + by_run[: len(each)]) * each + noise, fixed))
    return panels[0], panels[1]


def test_intervals_cover_the_causal_slope_and_the_causal_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slopes, "RESAMPLES", 300)
    rng, covered, shares, observed = np.random.default_rng(1), [], [], []
    for _ in range(150):
        assigned, natural = drawn(rng, confounded=2.0)
        found, share = slope_of(assigned, generator=rng), ratio_of(assigned, natural, generator=rng)
        covered.append(found.low <= 0.2 <= found.high)
        shares.append(share.low <= 0.4 <= share.high)  # of .2 + 2 * .15
        observed.append(natural.slope)
    assert np.mean(covered) >= 0.925
    assert np.mean(shares) >= 0.9
    assert np.mean(observed) == pytest.approx(0.5, abs=0.03)


def test_a_panel_that_tells_nothing_has_no_interval_and_what_is_not_whole_is_refused() -> None:
    still = Panel(np.zeros((2, 4)), np.ones((2, 4)), True)
    assert np.isnan(slope_of(still, generator=np.random.default_rng(0)).low)
    with pytest.raises(ShapeError, match="leave out values"):
        Panel(np.zeros((2, 3)), np.full((2, 3), np.nan), True)
    with pytest.raises(ShapeError, match="of the same values"):
        difference_of(still, Panel(np.zeros((2, 3)), np.ones((2, 3)), True), generator=np.random.default_rng(0))


def test_every_scale_has_enough_images_values_decades_seeds_and_assignments() -> None:
    study = CausalStudy()
    for scale in study.scales:
        runs = study.runs(scale, study.seeds(scale))
        assert len({study.label(run) for run in runs}) == len(runs)
        assert {run.taught_by for run in runs if run.data.name == DRAWINGS} == set(TEACHERS[DRAWINGS])
    for scale in ("cpu", "paper"):
        runs = [run for run in study.runs(scale, study.seeds(scale)) if run.data.name == RENDERED]
        assert all((run.data.n_images or 0) >= 50_000 and run.data.least <= 1e-3 for run in runs)
        assert len({(run.seed, run.assignment) for run in runs if run.taught_by == ASSIGNED}) >= 6
        assert len({run.width for run in runs}) == 2
    with pytest.raises(ConfigError, match="unknown taught_by"):
        CausalRun(data=SMALL, seed=0, taught_by=NATURAL)


def test_rates_are_the_same_in_every_assignment_and_follow_ease_only_where_that_is_asked_for() -> None:
    concepts = load_concepts(SMALL, seed=0)
    ease = concepts.easiness
    assert len(concepts.names) == 48
    assert hue_gaps().sum() == pytest.approx(360)
    found = {n: assigned_rates(CausalRun(data=SMALL, seed=0, taught_by=ASSIGNED, assignment=n), ease) for n in range(9)}
    for rates in found.values():
        np.testing.assert_allclose(np.sort(rates), np.geomspace(1e-3, 1, 48))
    assert len({tuple(rates) for rates in found.values()}) == 9
    assert abs(np.mean([np.corrcoef(np.log(rates), ease)[0, 1] for rates in found.values()])) < 0.2
    easy = assigned_rates(CausalRun(data=SMALL, seed=0, taught_by=EASY_FIRST), ease)
    assert (np.diff(ease[np.argsort(easy)]) >= 0).all()


def test_captions_mention_values_at_their_rates_anew_in_every_epoch_and_never_another_value() -> None:
    concepts = load_concepts(SMALL, seed=0)
    run = CausalRun(data=SMALL, seed=0, taught_by=ASSIGNED)
    coverage = coverage_of(run, concepts)
    said = captions_of(run, concepts, coverage)
    names = said.words.encode(said.prompts)[:, 0]
    value = torch.from_numpy(concepts.value[concepts.parts["train"]])
    mentioned = torch.zeros(len(value))
    generator, epochs = torch.Generator().manual_seed(0), 60
    for _ in range(epochs):
        order = torch.randperm(len(value), generator=generator)
        own = said.views.take(order).text[:, 0]
        assert torch.equal(own[own > 0], names[value[order]][own > 0])
        mentioned[order] += (own > 0).float()
    rates = torch.from_numpy(coverage.rates).float()[value]
    assert float((mentioned / epochs).mean()) == pytest.approx(float(rates.mean()), abs=0.01)
    spread = ((mentioned - epochs * rates) ** 2 / (epochs * rates * (1 - rates)).clamp_min(1e-6))[rates.lt(1)].mean()
    assert float(spread) == pytest.approx(1.0, abs=0.25)  # binomial: no image is silent for good
    assert torch.equal(said.views.take(order).text, said.views.take(order).text)


def test_the_strength_of_a_value_is_the_correlation_of_both_indicators_and_between_those_of_the_spectrum() -> None:
    rates, shares = np.array([0.9, 0.3, 0.05]), np.array([0.5, 0.3, 0.2])
    for q, p, sigma in zip(rates, shares, strengths(rates, shares), strict=True):
        both = np.array([[p * q, 0.0], [p * (1 - q), 1 - p]])  # said or not, by shown or not
        shown, told = both.sum(0)[0], both.sum(1)[0]
        slow = (both[0, 0] - shown * told) / np.sqrt(shown * (1 - shown) * told * (1 - told))
        assert sigma == pytest.approx(slow, rel=1e-12)
    space = load_concepts(SMALL, seed=0).space
    many = np.geomspace(1e-3, 1, 48)
    exact = spectrum(Misalignment.of_rates({"concept": tuple(many)}), space)
    exact = np.repeat(exact["strength"], exact["multiplicity"]).to_numpy()[::-1]
    by_value = strengths(many, np.full(48, 1 / 48))
    assert (by_value[:-1] <= exact + 1e-3).all()  # directions of the spectrum lie between those of neighbours
    assert (exact <= by_value[1:] + 1e-3).all()


def test_what_is_predicted_follows_from_rates_pairs_and_outputs() -> None:
    concepts = load_concepts(SMALL, seed=0)
    run = CausalRun(data=SMALL, seed=0, taught_by=ASSIGNED, epochs=40)
    mentions = dict(zip(concepts.names, coverage_of(run, concepts).mentions, strict=True))
    for row in predictions(run, concepts):
        pairs = mentions[row["factor"]] / (1 - 1 / 48)  # about N σ² where mentions are rare
        assert (row["expected"] > 0) == (pairs >= LIMIT) or abs(pairs / LIMIT - 1) < 0.1
    few = predictions(CausalRun(data=SMALL, seed=0, taught_by=ASSIGNED, epochs=40, encoding_size=20), concepts)
    assert sum(row["expected"] > 0 for row in few if row["metric"] == "f1") <= 20
    assert np.isnan(mentions_needed(np.ones(3), np.ones(3)))


def test_drawings_are_of_subgroups_with_enough_of_them_and_things_are_on_one_side() -> None:
    spec = SCALES["cpu"].drawings.data
    concepts = load_concepts(spec, seed=0)
    assert np.bincount(concepts.value).min() >= 20
    assert not set(concepts.clusters[concepts.parts["train"]]) & set(concepts.clusters[concepts.parts["test"]])
    assert all(len(set(concepts.value[rows])) == len(concepts.names) for rows in concepts.parts.values())
    natural, rates = (coverage_of(CausalRun(data=spec, seed=0, taught_by=name), concepts) for name in (NATURAL, RATES))
    place = concepts.names.index("country flag")
    assert natural.rates[place] == 1.0
    assert natural.shares[place] >= rates.shares[place] > 0
    assert (natural.shares > 0).all()


def as_claimed() -> pd.DataFrame:
    """A table as trainings that keep to theory and to the paper would give it."""
    study, rows, rng = CausalStudy(), [], np.random.default_rng(0)
    for run in study.runs("cpu", 3):
        k, easy = 24, np.linspace(0.3, 1.0, 24)
        x = np.geomspace(run.data.least, 1, k)
        order = rng.permutation(k) if run.taught_by == ASSIGNED else np.argsort(easy)
        rate = np.empty(k)
        rate[order] = x
        mentions = rate * (4000 if run.data.name == RENDERED else 400)
        value = easy if run.taught_by == LABELS else easy * np.clip(np.log10(mentions) / 2 - 0.2, 0, 1)
        for v in range(k):
            base = {"run": study.label(run), **study.settings(run), "side": "image", "factor": f"v{v}", "role": "value"}
            own = {"rate": rate[v], "coverage": rate[v] / k, "mentions": mentions[v], "value": value[v]}
            ends = {"floor": 0.0, "ceiling": easy[v], "expected": easy[v] * (mentions[v] >= LIMIT)}
            rows += [{**base, "metric": metric, **own, **ends} for metric in ("f1", "average_precision")]
    return pd.DataFrame(rows)


REFUTING: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "empty": lambda table: table.iloc[:0],
    "all one": lambda table: table.assign(value=1.0),
    "all nothing": lambda table: table.assign(value=0.0),
    "shuffled": lambda table: table.assign(value=np.random.default_rng(0).permutation(table["value"])),
    "turned round": lambda table: table.assign(value=1 - table["value"]),
    "wide sees all": lambda table: table.assign(value=table["value"].where(table["width"] == 1, 1.0)),
}


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slopes, "RESAMPLES", 100)


@pytest.mark.usefixtures("few_resamples")
def test_claims_hold_of_a_table_that_keeps_to_them_and_every_bounded_one_is_refuted_by_some_table() -> None:
    table = as_claimed()
    claims = CausalStudy().claims(table)
    assert not [claim for claim in claims if claim.outcome == FAILS]
    refuted = set()
    for change in REFUTING.values():
        failing = {claim.statement for claim in CausalStudy().claims(change(table)) if claim.outcome == FAILS}
        assert failing
        refuted |= failing
    assert refuted == {claim.statement for claim in claims if claim.outcome is not None}
    assert HOLDS not in {claim.outcome for claim in CausalStudy().claims(table.iloc[:0])}
    assert {claim.outcome for claim in CausalStudy().claims(table[table["seed"] == 0])} == {None}


def test_assigned_panels_have_effects_of_values_and_leave_out_what_a_run_lacks() -> None:
    table = as_claimed()
    lacking = (table["run"] == table["run"].iloc[0]) & (table["factor"] == "v3")
    panel = panel_of(table.assign(value=table["value"].mask(lacking)), RENDERED, ASSIGNED, width=1)
    assert panel is not None
    assert panel.fixed
    assert panel.x.shape == (6, 23)
    assert panel_of(table, RENDERED, NATURAL, width=1) is None


@pytest.mark.slow
def test_the_study_runs_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["study", "run", "awareness-causal", "--scale", "smoke", "--out", str(out), "--workers", "1"]
    assert main([*command, "--check"]) == 0  # a smoke run claims nothing
    assert "claims hold" in capsys.readouterr().out
    first = pd.read_parquet(out / "table.parquet")
    values = first[first["role"] == "value"]
    assert values.loc[values["support"] > 0, ["value", "floor", "ceiling"]].notna().all(axis=None)
    assert {path.stem for path in (out / "figures").iterdir()} == {"coverage-rendered", "coverage-drawings", "slopes"}
    runs = sorted(out.glob("runs/*/run.json"))
    assert (out / "predictions.json").stat().st_mtime_ns < min(path.stat().st_mtime_ns for path in runs)
    runs[-1].unlink()
    assert main([*command, "--resume"]) == 0
    pd.testing.assert_frame_equal(pd.read_parquet(out / "table.parquet"), first)


def test_the_committed_claims_follow_from_the_committed_table() -> None:
    rows = pd.read_parquet(COMMITTED / "table.parquet")
    verdict = json.loads((COMMITTED / "verdict.json").read_text())
    claims = CausalStudy().claims(rows)
    assert [claim.record() for claim in claims] == verdict["claims"]
    assert {claim.statement for claim in claims if claim.outcome == FAILS} == FAILING
    pd.testing.assert_series_equal(judged(rows, margin=CausalStudy.margin)["outcome"], rows["outcome"])
