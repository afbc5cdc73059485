"""What is said about a run follows from its numbers, whatever they are."""

import json
from math import nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reports.results import SCORES, demo_results, record

from vergence.errors import ConfigError
from vergence.reports import scores, size_scores, summarize
from vergence.reports.summarize import FEW_CONCEPTS, STEADY, Verdict
from vergence.reports.tables import baseline_policy

SCORE = st.floats(-1, 1)


def find(verdicts: list[Verdict], policy: str, factor: str) -> Verdict:
    return next(verdict for verdict in verdicts if (verdict["policy"], verdict["factor"]) == (policy, factor))


def pair(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Results of two policies that differ in what they say of one factor."""
    return {
        "main_size": 2,
        "policies": {
            "faithful": {"misalignment": {"unbiased": ["hue", "size"]}, "factors": {"hue": before}},
            "omit": {"misalignment": {"unbiased": ["size"], "omitted": ["hue"]}, "factors": {"hue": after}},
        },
    }


# --------------------------------------------------------------------------------------------------------- verdicts
def test_theory_is_contradicted_in_plain_words() -> None:
    verdict = find(summarize(demo_results())["predictions"], "faithful", "skin_tone")
    assert verdict["status"] == "disagrees"
    assert verdict["text"] == "skin tone: predicted 1.00, measured 0.80 [0.74, 0.86]: below the prediction"


def test_silence_of_theory_names_the_output_size() -> None:
    verdict = find(summarize(demo_results())["predictions"], "omit", "skin_tone")
    assert verdict["status"] == "silent"
    assert verdict["text"].endswith("theory is silent at 16 outputs")


def test_a_fall_is_stated_with_both_values_and_whether_intervals_touch() -> None:
    contrasts = summarize(demo_results())["contrasts"]
    expected = "Under omit, skin tone falls from 0.80 to 0.26; the intervals do not touch"
    assert find(contrasts, "omit", "skin_tone")["text"] == expected
    expected = "Under omit, group stays within 0.10 of its faithful value (0.62 against 0.64)"
    assert find(contrasts, "omit", "group")["text"] == expected


@given(SCORE, SCORE)
def test_a_score_either_stays_falls_or_rises(before: float, after: float) -> None:
    (verdict,) = summarize(pair(record(before), record(after)))["contrasts"]
    said = [word for word in ("stays", "falls", "rises") if f" {word} " in verdict["text"]]
    moved = after - before
    assert said == ["stays" if round(abs(moved), 9) <= STEADY else "falls" if moved < 0 else "rises"]


@given(SCORE, SCORE)
def test_a_predicted_fall_is_confirmed_only_by_intervals_apart(before: float, after: float) -> None:
    one, other = record(before, 1.0), record(after, 0.0)
    (verdict,) = summarize(pair(one, other))["contrasts"]
    assert verdict["status"] == ("agrees" if other["high"] < one["low"] else "disagrees")


@given(SCORE, SCORE)
def test_silence_about_one_side_is_silence_about_the_difference(before: float, after: float) -> None:
    (verdict,) = summarize(pair(record(before, 1.0), record(after, "size-dependent")))["contrasts"]
    assert verdict["status"] == "silent"


def test_a_difference_that_theory_denies_is_a_disagreement() -> None:
    (verdict,) = summarize(pair(record(0.9, 1.0), record(0.2, 1.0)))["contrasts"]
    assert verdict["status"] == "disagrees"


def test_an_omitted_factor_that_comes_back_is_reported_first() -> None:
    first, *others = summarize(demo_results())["sizes"]
    assert first["text"] == (
        "Under omit, skin tone (omitted) measures 0.17 at 3 outputs, 0.26 at 16, 0.44 at 64: it rises with the output "
        "size. At 3: predicted 0.00, measured above it. At 16 and 64: theory is silent"
    )
    assert first["status"] == "disagrees"
    assert all("(named)" in verdict["text"] for verdict in others)


def test_a_sweep_whose_ends_cannot_be_told_apart_is_not_called_a_trend() -> None:
    results = demo_results("omit")
    for run, value in zip(results["sizes"]["omit"], (0.20, 0.25, 0.22), strict=True):
        run["factors"] = {"skin_tone": record(value, "size-dependent")}
    (verdict,) = summarize(results)["sizes"]
    assert ": it stays." in verdict["text"]
    assert verdict["status"] == "silent"


def test_a_factor_missing_from_a_sweep_is_said_to_be_unmeasured() -> None:
    results = demo_results("omit")
    for run in results["sizes"]["omit"]:
        run["factors"] = {"skin_tone": record(None)}
    (verdict,) = summarize(results)["sizes"]
    assert verdict["status"] == "unmeasured"


# --------------------------------------------------------------------------------------------------------- headline
def test_the_headline_names_the_biased_factor_and_its_scores() -> None:
    assert summarize(demo_results())["headline"] == (
        "Skin tone, read from images of concepts the model has never seen, scores 0.80 when captions name it, 0.26 "
        "when they leave it out and 0.24 when they get it wrong: neither interval touches the first."
    )


@given(SCORE, SCORE)
def test_the_headline_claims_no_fall_that_the_intervals_do_not_show(before: float, after: float) -> None:
    one, other = record(before), record(after)
    headline = summarize(pair(one, other))["headline"]
    assert ("no clear fall" in headline) == (other["high"] >= one["low"])


def test_the_headline_names_the_policies_that_fell_when_not_all_did() -> None:
    results = demo_results()
    results["policies"]["perturb"]["factors"]["skin_tone"] = record(0.79)
    assert summarize(results)["headline"].endswith(": clearly lower under omit only.")


def test_the_headline_is_about_the_factor_that_moved_most() -> None:
    results = demo_results("labels", "faithful", "omit")
    results["policies"]["labels"]["misalignment"] |= {"unbiased": ["skin_tone", "gender"]}
    assert summarize(results)["headline"].startswith("Skin tone, ")


@pytest.mark.parametrize("policy", list(SCORES))
def test_one_policy_alone_is_reported_without_comparison(policy: str) -> None:
    summary = summarize(demo_results(policy))
    assert summary["contrasts"] == []
    assert summary["baseline"] is None
    assert f"under {policy} captions: skin tone " in summary["headline"]


def test_without_faithful_the_largest_unbiased_block_is_the_baseline() -> None:
    assert baseline_policy(demo_results("omit", "labels", "perturb")) == "labels"
    assert baseline_policy(demo_results("labels", "faithful")) == "faithful"


# ------------------------------------------------------------------------------------------- tally, notes, missing
@given(
    st.lists(st.tuples(SCORE, st.one_of(SCORE, st.just("size-dependent"), st.none(), st.just(nan))), min_size=1),
)
def test_every_score_is_counted_once(records: list[tuple[float, Any]]) -> None:
    factors = {f"factor_{i}": record(value, predicted) for i, (value, predicted) in enumerate(records)}
    counts = summarize({"policies": {"mine": {"factors": factors}}})["counts"]
    assert sum(counts.values()) == len(records)
    assert counts["unmeasured"] == 0


def test_the_tally_does_not_hide_that_no_prediction_held() -> None:
    assert "the measured interval holds it for none of them" in summarize(demo_results())["tally"]


@pytest.mark.parametrize("missing", [None, nan])
def test_missing_numbers_are_called_missing_everywhere(missing: float | None) -> None:
    results = demo_results()
    for policy in results["policies"].values():
        for measured in policy["factors"].values():
            measured |= {"value": missing, "low": missing, "high": missing}
    summary = summarize(results)
    assert summary["counts"]["unmeasured"] == 16
    assert {verdict["status"] for verdict in summary["contrasts"]} == {"unmeasured"}
    assert "nan" not in json.dumps(summary).lower()
    assert summary["headline"] == "This run holds no measurement under labels."


def test_a_quick_run_and_few_concepts_are_noted() -> None:
    results = demo_results() | {"quick": True}
    results["policies"]["omit"]["factors"]["gender"]["n_concepts"] = FEW_CONCEPTS - 1
    quick, few = summarize(results)["notes"]
    assert quick.startswith("This was a quick run")
    assert "gender (19)" in few
    assert summarize(demo_results())["notes"] == []


def test_hits_are_pictures_on_which_everything_wanted_is_right() -> None:
    first, *_ = summarize(demo_results())["retrieval"]
    assert first["policies"]["faithful"] == {"shown": 6, "matching": 4}
    assert first["policies"]["omit"] == {"shown": 6, "matching": 2}


def test_results_without_policies_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"at least one policy; got none\. Run: vergence demo"):
        summarize({"policies": {}})


# ----------------------------------------------------------------------------------------------------------- tables
def test_tables_hold_every_score_and_nothing_where_theory_is_silent() -> None:
    results = demo_results()
    main, sizes = scores(results), size_scores(results)
    assert len(main) == 16
    assert len(sizes) == 2 * 3 * 4
    omitted = sizes[(sizes["policy"] == "omit") & (sizes["factor"] == "skin_tone")]
    assert omitted["predicted"].isna().tolist() == [False, True, True]
    assert set(omitted["n_unbiased"]) == {3}
    assert set(omitted["standing"]) == {"omitted"}
    assert main.set_index(["policy", "factor"]).loc[("perturb", "skin_tone"), "standing"] == "perturbed"


def test_a_run_without_sweep_has_an_empty_table() -> None:
    assert size_scores(demo_results("labels")).empty
