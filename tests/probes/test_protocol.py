"""Who is fitted on what, and what the score is a score of."""

from math import sqrt

import numpy as np
import pandas as pd
import pytest
import torch

from vergence import Factor, FactorSpace
from vergence.errors import ConfigError, FactorError, ShapeError
from vergence.metrics import Logistic, Ridge, cluster_bootstrap, matthews_corrcoef, r2_score
from vergence.probes import Labelled, probe
from vergence.random import generator

SPACE = FactorSpace((Factor("shape", ("cube", "ball", "cone")), Factor("tone", ("dark", "light")), Factor("hue")))
FORMS = 4  # items of one cluster


def planted(n_clusters: int, first: int, *, seed: int, noise: float = 0.3) -> Labelled:
    """Representations that hold shape and hue, and nothing of tone; shape is the same for all forms of a cluster."""
    stream = generator(seed)
    n = n_clusters * FORMS
    shape = torch.randint(3, (n_clusters,), generator=stream).repeat_interleave(FORMS)
    tone = torch.randint(2, (n,), generator=stream)
    hue = torch.randn(n, generator=stream)
    mixing = torch.randn(4, 6, generator=generator(99))
    known = torch.cat([torch.eye(3)[shape], hue[:, None]], dim=1)
    z = known @ mixing + noise * torch.randn(n, 6, generator=stream)
    labels = pd.DataFrame(
        {
            "hue": hue.tolist(),
            "tone": [SPACE["tone"].values[i] for i in tone],
            "shape": [SPACE["shape"].values[i] for i in shape],
        }
    )
    return Labelled(z, labels, np.arange(first, first + n_clusters).repeat(FORMS))


FIT, TEST = planted(60, 0, seed=0), planted(60, 60, seed=1)


def probed(fit: Labelled = FIT, test: Labelled = TEST, space: FactorSpace = SPACE, **more) -> pd.DataFrame:
    return probe(fit, test, space, generator=generator(5), **more).set_index("factor")


def test_finds_a_planted_factor_and_nothing_of_an_independent_one() -> None:
    table = probed()
    assert table.loc["shape", "score"] > 0.9
    assert table.loc["hue", "score"] > 0.75
    assert abs(table.loc["tone", "score"]) < 4 / sqrt(len(TEST.z))
    assert table.loc["tone", "low"] < 0 < table.loc["tone", "high"] < 0.4
    assert ((table["low"] <= table["score"]) & (table["score"] <= table["high"])).all()


def test_a_row_says_what_was_scored_how_and_on_how_many() -> None:
    table = probe(FIT, TEST, SPACE, generator=generator(5))
    assert list(table.columns) == ["factor", "metric", "score", "low", "high", "n_fit", "n_test", "n_clusters"]
    assert table["factor"].tolist() == ["shape", "tone", "hue"]
    assert table["metric"].tolist() == ["matthews_corrcoef", "matthews_corrcoef", "r2_score"]
    assert table[["n_fit", "n_test", "n_clusters"]].drop_duplicates().to_numpy().tolist() == [[240, 240, 60]]


def test_is_fit_predict_score_and_a_bootstrap_of_test_clusters_step_by_step() -> None:
    table, stream = probed(), generator(5)
    held_together, clusters = torch.from_numpy(FIT.clusters), torch.from_numpy(TEST.clusters)
    for factor in SPACE.factors:
        if factor.is_continuous:
            solver, score, code = Ridge(), r2_score, lambda values: torch.tensor(values.to_numpy())
        else:
            solver, score = Logistic(), matthews_corrcoef
            code = lambda values, factor=factor: torch.tensor([factor.index(v) for v in values])  # noqa: E731
        truth = code(TEST.labels[factor.name])
        fitted = solver.fit(FIT.z, code(FIT.labels[factor.name]), groups=held_together)
        predicted = fitted.predict(TEST.z)
        assert table.loc[factor.name, "score"] == pytest.approx(float(score(truth, predicted)), abs=1e-12)
        interval = cluster_bootstrap(score, truth, predicted, clusters, generator=stream)
        assert tuple(table.loc[factor.name, ["low", "high"]]) == pytest.approx(tuple(interval), abs=1e-12)


def test_the_same_generator_gives_the_same_table() -> None:
    pd.testing.assert_frame_equal(probed(), probed(), check_exact=True)


def test_names_of_clusters_and_order_of_columns_do_not_matter() -> None:
    named = [
        Labelled(half.z, half.labels[["tone", "shape", "hue"]], np.array([f"{c:04d}" for c in half.clusters]))
        for half in (FIT, TEST)
    ]
    pd.testing.assert_frame_equal(probed(*named), probed(), check_exact=True)


def test_items_whose_label_is_not_known_are_left_out() -> None:
    hidden = np.arange(len(FIT.z)) % 5 == 0
    labels = FIT.labels.assign(shape=FIT.labels["shape"].mask(hidden), hue=FIT.labels["hue"].mask(hidden))
    spoiled = FIT.z.clone()
    spoiled[hidden] = 1e6
    kept = Labelled(FIT.z[~hidden], FIT.labels[~hidden], FIT.clusters[~hidden])
    space = SPACE.subset(["shape", "hue"])
    found = probed(Labelled(spoiled, labels, FIT.clusters), space=space)
    pd.testing.assert_frame_equal(found, probed(kept, space=space), check_exact=True)
    assert found["n_fit"].tolist() == [192, 192]
    gone = TEST.labels.assign(shape=TEST.labels["shape"].where(TEST.clusters < 70))
    assert probed(test=Labelled(TEST.z, gone, TEST.clusters)).loc["shape", ["n_test", "n_clusters"]].tolist() == [
        40,
        10,
    ]


def test_a_cluster_in_both_halves_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"a test cluster must be new to the probe; in both halves: 57, 58, 59$"):
        probe(FIT, planted(60, 57, seed=1), SPACE, generator=generator(0))


def test_clusters_are_known_for_every_item_and_of_one_type() -> None:
    gone = np.where(FIT.clusters == 3, np.nan, FIT.clusters)
    for clusters in (gone, np.where(FIT.clusters == 3, None, FIT.clusters.astype(object))):
        with pytest.raises(ShapeError, match="each item must have a cluster; 4 of 240 have none"):
            Labelled(FIT.z, FIT.labels, clusters)
    as_text = Labelled(FIT.z, FIT.labels, FIT.clusters.astype(str))  # the same clusters would pass for new ones
    with pytest.raises(ConfigError, match="clusters must be of one type in both halves; got texts to fit and numbers"):
        probe(as_text, FIT, SPACE, generator=generator(0))


def test_labels_of_a_continuous_factor_are_numbers() -> None:
    labels = FIT.labels.assign(hue=["red", *FIT.labels["hue"][1:]])
    with pytest.raises(FactorError, match="factor 'hue' is continuous: its labels must be numbers; got 'red'"):
        probed(Labelled(FIT.z, labels, FIT.clusters))
    same = FIT.labels.assign(hue=FIT.labels["hue"].astype(object))
    pd.testing.assert_frame_equal(probed(Labelled(FIT.z, same, FIT.clusters)), probed(), check_exact=True)


def test_a_factor_that_is_known_for_no_item_of_a_half_is_refused_by_name() -> None:
    silent = Labelled(TEST.z, TEST.labels.assign(tone=None), TEST.clusters)
    with pytest.raises(ConfigError, match="factor 'tone' is known for 240 items to fit and 0 to test"):
        probed(test=silent)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("tone", "drak", "unknown value of factor 'tone' 'drak'; known: dark, light. Did you mean 'dark'"),
        ("size", "big", "unknown factor 'shape'; known: size"),
    ],
)
def test_unknown_values_and_missing_columns_are_refused_by_name(column, value, message) -> None:
    labels = FIT.labels.assign(tone=value) if column == "tone" else pd.DataFrame({column: [value] * len(FIT.z)})
    with pytest.raises(FactorError, match=message):
        probed(Labelled(FIT.z, labels, FIT.clusters))


def test_rows_must_pair() -> None:
    with pytest.raises(ShapeError, match="rows must pair: got 240 representations, 240 labels, 239 clusters"):
        Labelled(FIT.z, FIT.labels, FIT.clusters[1:])


def test_a_probe_of_ones_own_is_used_in_place_of_the_default() -> None:
    class Constant:
        def fit(self, z, targets, /, *, groups):
            return self

        def predict(self, z):
            return torch.zeros(len(z), dtype=torch.long)

    table = probed(classifier=Constant())
    assert table.loc[["shape", "tone"], ["score", "low", "high"]].to_numpy().tolist() == [[0.0, 0.0, 0.0]] * 2
    assert table.loc["hue", "score"] == probed().loc["hue", "score"]


def test_the_interval_holds_the_score_of_the_same_probe_on_many_new_clusters() -> None:
    """Coverage: of 20 test halves, the 95 % intervals of at least 16 hold the score on 2,000 further clusters."""
    space = SPACE.subset(["shape"])
    fit = planted(40, 0, seed=2, noise=1.5)
    fitted = Logistic().fit(fit.z, fit.known(space["shape"])[1], groups=torch.from_numpy(fit.clusters))
    many = planted(2000, 10_000, seed=3, noise=1.5)
    truth = matthews_corrcoef(many.known(space["shape"])[1], fitted.predict(many.z))
    hits = 0
    for seed in range(20):
        row = probed(fit, planted(30, 100, seed=100 + seed, noise=1.5), space).loc["shape"]
        hits += row["low"] <= truth <= row["high"]
    assert hits >= 16
