"""The numerical studies: settings, labels, verdicts, and resuming after a kill."""

import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vergence.cli.main import main
from vergence.errors import VergenceError
from vergence.random import generator
from vergence.studies.misalignment2025 import STUDIES, RunSpec, Trial
from vergence.studies.misalignment2025.batched import BatchedConfig
from vergence.studies.misalignment2025.claims import (
    follows_a_curve,
    omitting_what_shifts_helps,
    paired_interval,
    reaches_it_how_fast,
    reaches_the_oracle,
)
from vergence.studies.misalignment2025.graded import fit_recovery
from vergence.studies.misalignment2025.measure import label, two_means
from vergence.studies.misalignment2025.predict import predictions
from vergence.studies.misalignment2025.train import grouped, train_group
from vergence.studies.progress import StudyProgress
from vergence.studies.registry import study
from vergence.studies.run import run_study
from vergence.studies.study import Claim


@pytest.mark.parametrize("name", STUDIES)
def test_every_run_of_a_study_has_a_name_of_its_own(name: str) -> None:
    of_study = STUDIES[name]
    for scale in of_study.scales:
        if (name, scale) == ("numeric-objectives", "paper"):
            continue
        trials = of_study.runs(scale, 2)
        assert len({of_study.label(trial) for trial in trials}) == len(trials)
        assert {trial.run.seed for trial in trials} == {0, 1}


@pytest.mark.parametrize("name", STUDIES)
def test_every_prediction_is_of_what_is_measured_and_says_why(name: str) -> None:
    for trial in STUDIES[name].runs("smoke", 1):
        rows = STUDIES[name].predict(trial)
        keys = [(row["side"], row["factor"], row["domain"], row["outputs"]) for row in rows]
        assert len(set(keys)) == len(keys)
        assert all(row["reason"] for row in rows)
        assert {row["side"] for row in rows} == {"image", "text"}


def test_predictions_follow_the_theorem_at_the_block_and_bound_what_is_beyond_it() -> None:
    def said(**settings: object) -> dict[str, tuple[float, float]]:
        rows = predictions(RunSpec(seed=0, **settings))
        return {row["factor"]: (row["predicted_low"], row["predicted_high"]) for row in rows if row["side"] == "image"}

    block = said(perturbed=5)
    assert (block["s1"], block["s10"], block["image_private"]) == ((1, 1), (0, 0), (0, 0))
    assert said(perturbed=5, output_size=2)["s1"] == (0, 1)
    beyond = said(perturbed=5, output_size=20)
    assert beyond["s1"] == (1, 1)
    assert beyond["s10"][0] > 0
    assert beyond["image_private"] == (0, 1)
    assert said(mention=0.1)["s1"][0] < 0.2
    texts = {row["factor"]: row for row in predictions(RunSpec(seed=0, mention=0.1)) if row["side"] == "text"}
    assert (texts["s1"]["predicted_low"], texts["s1"]["predicted_high"]) == (0, 1)


def test_runs_that_start_wide_are_stacked_apart_from_those_that_do_not() -> None:
    trials = STUDIES["numeric-encoding-size"].runs("cpu", 1)
    for group in grouped(trials):
        assert len(group) <= 5
        assert len({trial.run.n_wide > trial.run.n_outputs for trial in group}) == 1
    assert sorted(t.run.name for group in grouped(trials) for t in group) == sorted(t.run.name for t in trials)
    assert all(len(group) == 1 for group in grouped(STUDIES["numeric-shift"].runs("paper", 1)))


def test_runs_that_differ_in_what_learns_see_the_same_pairs() -> None:
    first, second = (RunSpec(seed=3, perturbed=5, **more) for more in ({}, {"objective": "nt_xent", "output_size": 10}))
    assert first.name != second.name
    assert first.pairs_name == second.pairs_name != RunSpec(seed=3, perturbed=4).pairs_name


def test_both_sweeps_with_three_seeds_are_a_hundred_and_twenty_trainings() -> None:
    runs = [run for name in ("numeric-selection", "numeric-perturbation") for run in STUDIES[name].runs("cpu", 3)]
    assert len(runs) == 120


def test_output_size_is_that_of_the_block_unless_told_otherwise() -> None:
    assert RunSpec(seed=0, selected=7, perturbed=3).n_outputs == 4
    assert RunSpec(seed=0, selected=7, perturbed=3, output_size=9).n_outputs == 9
    assert RunSpec(seed=0, selected=4, perturbed=1).misalignment.perturbed == {"s4"}


def test_dependence_changes_covariances_and_nothing_of_the_images_mixing() -> None:
    plain, tied = RunSpec(seed=0), RunSpec(seed=0, dependent=True, selected=3)
    assert torch.equal(plain.mixings().image.weights, tied.mixings().image.weights)
    covariance = tied.model().dependence.gaussian_covariance(tied.model().space)
    assert (covariance - torch.eye(10)).abs().max() > 1


@pytest.mark.parametrize("violation", ["holes", "far noise", "not injective"])
def test_each_violation_breaks_what_it_says(violation: str) -> None:
    spec = RunSpec(seed=0, perturbed=5, violation=violation)
    latents = spec.model().sample(2_000, spec.misalignment, generator=generator(0))
    noise = (latents.text_semantics - latents.semantics)[:, 5:]
    assert (latents.semantics.abs().min() >= 1) == (violation == "holes")
    assert bool((noise[noise != 0].abs() > 2).all()) == (violation == "far noise")
    x = torch.randn(4, 15, generator=generator(1))
    mirrored = torch.cat([-x[:, :1], x[:, 1:]], 1)
    same = torch.equal(spec.mixings().image(x), spec.mixings().image(mirrored))
    assert same == (violation == "not injective")


def test_a_label_sums_over_distinct_pairs_and_triples() -> None:
    z = torch.randn(3, 10, dtype=torch.float64, generator=generator(0))
    for n_first in (3, 5, 7, 9):
        for row, value in zip(z.tolist(), label(z, n_first).tolist(), strict=True):
            v = row[:n_first]
            slow = sum(x**2 + 0.3 * x**3 + 0.7 * (math.sin(x) + math.cos(x)) for x in v)
            slow += sum(0.4 * math.log(1 + abs(x)) + 0.6 * math.exp(-abs(x)) for x in v)
            slow += 0.5 * sum(a * b for a, b in combinations(v, 2))
            slow += 0.2 * sum(a * b * c for a, b, c in combinations(v, 3))
            assert value == pytest.approx(slow, rel=1e-9)


def test_two_means_cut_between_two_clusters() -> None:
    values = torch.cat([torch.full((30,), -1.0), torch.full((10,), 5.0)])
    assert two_means(values) == pytest.approx(2.0)


def scores(rows: list[dict]) -> pd.DataFrame:
    base = {"metric": "r2", "domain": "in", "side": "image", "dependent": False, "seed": 0, "factor": "s1", "share": 1}
    base |= {"selected": 10, "perturbed": 0, "output_size": 10, "n_unbiased": 10, "perturbation_probability": 0.75}
    base |= {"mention": 1.0, "mismatch": 0.0, "violation": "none", "objective": "l2_info_nce", "bottleneck": 0.0}
    table = pd.DataFrame([{**base, **row} for row in rows])
    return table.assign(predicted_low=table["expected"], predicted_high=table["expected"])


def by_statement(claims: list[Claim]) -> dict[str, Claim]:
    assert len({claim.statement for claim in claims}) == len(claims)
    return {claim.statement: claim for claim in claims}


def test_claims_are_computed_from_the_table_alone() -> None:
    rows = [
        {"role": "unbiased", "value": 0.97, "expected": 1.0},
        {"role": "omitted", "value": -0.01, "expected": 0.0},
        {"role": "private", "value": 0.05, "expected": 0.0},
        {"role": "private", "value": 0.01, "expected": 0.0, "side": "text"},
    ]
    claims = by_statement(reaches_the_oracle(scores(rows)))
    assert claims["independent: R² of unbiased semantics, mean"].outcome == "holds"
    apart = claims["independent: distance of semantics to the prediction, mean"]
    assert apart.measured == pytest.approx(0.015)
    assert claims["independent: R² of image-private variables, mean"].outcome == "fails"
    assert claims["independent: R² of text-private variables, mean"].outcome == "holds"
    assert "dependent: R² of unbiased semantics, mean" not in claims


def test_the_worst_variable_is_said_where_the_mean_hides_it() -> None:
    rows = [{"role": "unbiased", "value": 1.0, "expected": 1.0, "factor": f"s{i}"} for i in range(1, 20)]
    rows.append({"role": "unbiased", "value": 0.5, "expected": 1.0, "factor": "s20", "seed": 3})
    claims = by_statement(reaches_the_oracle(scores(rows)))
    assert claims["independent: R² of unbiased semantics, mean"].outcome == "holds"
    worst = claims["independent: R² of unbiased semantics, worst variable of any run"]
    assert (worst.outcome, worst.measured, worst.where) == ("fails", 0.5, "s20, seed 3")


def test_a_curve_is_found_again_and_checked_where_it_was_not_fitted() -> None:
    rng = np.random.default_rng(0)
    settings = [
        {"mention": q, "mismatch": r, "output_size": n, "n_unbiased": 10, "seed": seed}
        for q in (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
        for r in (0.0, 0.2)
        for n in (5, 10, 20)
        for seed in range(3)
    ]
    runs = pd.DataFrame(settings)
    logit = 4 + 2 * np.log10(runs["mention"]) - 3 * runs["mismatch"] + 0.5 * np.log2(runs["output_size"] / 10)
    runs["value"] = np.minimum(1, runs["output_size"] / 10) / (1 + np.exp(-logit)) + rng.normal(0, 0.01, len(runs))
    intervals = list(fit_recovery(runs).intervals())
    for (term, value, low, high), truth in zip(intervals, (4, 2, -3, 0.5), strict=True):
        assert low < value < high
        assert value == pytest.approx(truth, abs=0.3), term
    table = scores(runs.assign(role="unbiased", expected=1.0, run=range(len(runs))).to_dict("records"))
    apart, inside = (
        f"settings that were not fitted: {what}"
        for what in ("mean distance of R² to the curve", "share within the 95 % interval")
    )
    claims = by_statement(follows_a_curve(table))
    assert claims[apart].outcome == claims[inside].outcome == "holds"
    moved = table.assign(value=table["value"].where(~table["mention"].isin((0.1, 0.01)), 0.0))
    assert by_statement(follows_a_curve(moved))[apart].outcome == "fails"


def test_the_shift_verdict_needs_an_interval_that_excludes_zero() -> None:
    def rows(gain: float) -> pd.DataFrame:
        spread = (-0.02, -0.01, 0.0, 0.01, 0.02)
        return pd.DataFrame(
            {"factor": "y2 class", "seed": seed, "domain": domain, "selected": k, "value": 0.5 + up * (k == 8) + noise}
            for seed, noise in enumerate(spread)
            for domain in ("in", "out")
            for k, up in ((3, 0.0), (5, 0.0), (8, gain + noise), (10, 0.0))
        )

    helps, not_so = (by_statement(omitting_what_shifts_helps(rows(gain))) for gain in (0.1, 0.001))
    lower = "out of domain: lower end of that gain's 95 % interval, paired over seeds"
    assert helps[lower].outcome == "holds"
    assert not_so[lower].outcome == "fails"


def test_a_paired_interval_is_students() -> None:
    from scipy.stats import ttest_1samp

    gains = np.array([0.1, 0.3, 0.2, 0.05])
    low, high = ttest_1samp(gains, 0.0).confidence_interval(0.95)
    assert paired_interval(gains) == pytest.approx((low, high))
    assert all(map(math.isnan, paired_interval(gains[:1])))


def run(name: str, out: Path, *, present: str = "refuse") -> dict:
    with StudyProgress("test") as progress:
        return run_study(
            STUDIES[name], scale="smoke", out=out, present=present, command="x", progress=progress, workers=1
        )


@pytest.mark.slow
def test_a_study_takes_over_runs_of_another_that_it_has_too(tmp_path: Path) -> None:
    run("numeric-selection", tmp_path / "selection")
    verdict = run("numeric-shift", tmp_path / "shift")
    assert verdict["taken_over"] == {"selection": 3}
    taken = sorted((tmp_path / "shift/runs").iterdir())
    assert len(taken) == 3
    for path in taken:  # with the seconds that it took
        assert (path / "run.json").read_text() == (tmp_path / "selection/runs" / path.name / "run.json").read_text()
    both = [pd.read_parquet(tmp_path / name / "table.parquet") for name in ("selection", "shift")]
    independent = both[0][~both[0]["dependent"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(independent, both[1])


@pytest.mark.slow
def test_what_is_measured_before_the_end_is_of_the_outputs_that_there_were() -> None:
    training = BatchedConfig(steps=20, wide_steps=20, batch_size=64, width=32)
    told = []
    spec = RunSpec(seed=0, selected=4, perturbed=2, milestones=3)
    (done,) = train_group(
        [Trial(run=spec, training=training, n_probe=600)], lambda step, total: told.append((step, total))
    )
    assert told == [(20, 40), (40, 40)]
    rows = pd.DataFrame(done)
    of_image = rows[rows["side"] == "image"]
    assert of_image.groupby("share")["outputs"].unique().explode().to_dict() == {0.25: 4, 0.5: 4, 0.75: 2, 1.0: 2}
    predicted = {(row["side"], row["factor"], row["outputs"]) for row in predictions(spec)}
    assert set(zip(rows["side"], rows["factor"], rows["outputs"], strict=True)) <= predicted
    early = scores([{**row, "perturbed": 2, "output_size": 2, "value": 0.95, "expected": 1.0} for row in done])
    verdict = {claim.statement: claim.measured for claim in reaches_it_how_fast(early)}
    (share,) = (measured for name, measured in verdict.items() if "share of the training" in name)
    assert share == 0.75  # 4 outputs do not count


@pytest.mark.slow
def test_a_study_resumes_where_it_was_killed_and_comes_to_the_same(tmp_path: Path) -> None:
    whole = run("numeric-assumptions", tmp_path / "job")
    first = pd.read_parquet(tmp_path / "job/table.parquet")
    one, other = sorted(tmp_path.glob("job/runs/*/run.json"))[:2]
    before = one.stat().st_mtime_ns
    other.unlink()
    (tmp_path / "job/table.parquet").unlink()
    again = run("numeric-assumptions", tmp_path / "job", present="resume")
    assert one.stat().st_mtime_ns == before
    assert [c["statement"] for c in again["claims"]] == [c["statement"] for c in whole["claims"]]
    after = pd.read_parquet(tmp_path / "job/table.parquet")
    assert list(after["factor"]) == list(first["factor"])
    assert (after["value"] - first["value"]).abs().max() < 0.1  # a stack of other company rounds otherwise
    assert (tmp_path / "job/figures/numeric-assumptions.svg").read_text().startswith("<?xml")
    assert (tmp_path / "job/page.html").is_file()


@pytest.mark.slow
def test_a_study_whose_claims_fail_exits_with_1_only_if_asked_to_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["study", "run", "numeric-shift", "--scale", "smoke", "--workers", "1", "--out", str(tmp_path / "job")]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "NO " in said
    assert "fail" in said
    assert main([*command, "--resume", "--check"]) == 1


def test_the_command_line_lists_studies_and_refuses_unknown_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "list"]) == 0
    assert "numeric-selection" in capsys.readouterr().out
    assert main(["study", "run", "numeric-selektion"]) == 2
    assert "Did you mean 'numeric-selection'" in capsys.readouterr().err
    assert main(["study", "run", "numeric-shift", "--scale", "huge", "--out", "/nonexistent/x"]) == 2
    assert "unknown scale 'huge'; known: smoke, cpu, paper" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RunSpec(seed=0, selected=11), "selected must be at most 10"),
        (lambda: RunSpec(seed=0, output_size=0), "output_size must be >= 1"),
        (lambda: RunSpec(seed=-1), "seed must be >= 0"),
        (lambda: RunSpec(seed=0, selected=3, perturbed=3), "perturbed below it; got 3 and 3"),
        (lambda: RunSpec(seed=0, mention=1.5), "mention must be a probability"),
        (lambda: RunSpec(seed=0, objective="triplet"), "unknown objective 'triplet'"),
        (lambda: RunSpec(seed=0, violation="all"), "unknown violation 'all'"),
        (lambda: fit_recovery(pd.DataFrame({"mention": [1.0]})), "needs more runs than that; got 1"),
        (lambda: study("numeric"), "unknown study 'numeric'"),
        (lambda: STUDIES["numeric-objectives"].runs("paper", 1), "compares objectives; the published protocol has one"),
    ],
)
def test_impossible_settings_are_refused(make, message: str) -> None:
    with pytest.raises(VergenceError, match=message):
        make()
