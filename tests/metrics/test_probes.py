"""Nonlinear probes: what they recover, how they choose, what they refuse."""

import pytest
import torch

from vergence.errors import ConfigError, ShapeError
from vergence.metrics import (
    MLP,
    KernelRidge,
    Logistic,
    NearestNeighbours,
    NystroemRidge,
    Ridge,
    matthews_corrcoef,
    r2_score,
)
from vergence.random import generator

REGRESSORS = {
    "kernel": KernelRidge(),
    "nystroem": NystroemRidge(n_landmarks=100),
    "nearest": NearestNeighbours(),
    "mlp": MLP(max_epochs=60),
}
CLASSIFIERS = {"logistic": Logistic(), "nearest": NearestNeighbours(), "mlp": MLP(max_epochs=60)}


def factors(n: int = 900) -> tuple[torch.Tensor, torch.Tensor]:
    """A representation, and two smooth functions of it beside one that it says nothing of."""
    g = generator(0)
    z = torch.randn(n, 3, generator=g)
    return z, torch.stack([z[:, 0].sin(), z[:, 1] ** 2, torch.randn(n, generator=g)], dim=1)


@pytest.mark.parametrize("probe", REGRESSORS.values(), ids=REGRESSORS.keys())
def test_nonlinear_regressors_recover_smooth_functions_and_nothing_else(probe) -> None:
    z, targets = factors()
    scores = r2_score(targets[600:], probe.fit(z[:600], targets[:600]).predict(z[600:]))
    assert bool((scores[:2] > 0.8).all())
    assert float(scores[2]) < 0.1


@pytest.mark.parametrize("probe", CLASSIFIERS.values(), ids=CLASSIFIERS.keys())
def test_classifiers_give_back_labels_of_the_fitting_half(probe) -> None:
    z, _ = factors()
    labels = torch.tensor([-4, 9, 17])[(z[:, 0] > -0.5).long() + (z[:, 0] > 0.5).long()]
    predictions = probe.fit(z[:600], labels[:600]).predict(z[600:])
    assert set(predictions.tolist()) <= {-4, 9, 17}
    assert matthews_corrcoef(labels[600:], predictions) > 0.8


@pytest.mark.parametrize("probe", [*REGRESSORS.values(), Ridge()], ids=[*REGRESSORS, "ridge"])
def test_a_vector_of_targets_comes_back_as_a_vector(probe) -> None:
    z, targets = factors(200)
    assert probe.fit(z, targets[:, 0]).predict(z[:7]).shape == (7,)
    assert probe.fit(z.numpy(), targets.numpy()).predict(z[:7].numpy()).shape == (7, 3)


@pytest.mark.parametrize("probe", [*REGRESSORS.values(), Ridge()], ids=[*REGRESSORS, "ridge"])
def test_fitting_twice_predicts_the_same(probe) -> None:
    z, targets = factors(200)
    one, other = (probe.fit(z, targets).predict(z) for _ in range(2))
    assert torch.equal(one, other)


@pytest.mark.parametrize("probe", [*REGRESSORS.values(), Ridge()], ids=[*REGRESSORS, "ridge"])
def test_constant_features_and_targets_are_no_trouble(probe) -> None:
    z, targets = factors(200)
    z[:, 0], targets[:, 0] = 0.1, 3.0
    predictions = probe.fit(z, targets).predict(z)
    assert bool(predictions.isfinite().all())
    torch.testing.assert_close(predictions[:, 0], torch.full((200,), 3.0, dtype=torch.float64), atol=0.1, rtol=0)


def test_the_choice_is_made_per_target() -> None:
    z, targets = factors()
    fitted = KernelRidge().fit(z[:300], targets[:300])
    assert len(set(zip(fitted.alphas, fitted.gammas, strict=True))) > 1
    assert len(set(NearestNeighbours().fit(z, targets).ks)) > 1


def test_log_probabilities_of_classifiers_are_those_of_a_distribution() -> None:
    z, _ = factors(300)
    labels = (z[:, 0] > 0).long()
    for probe in (Logistic(), MLP(max_epochs=5)):
        log_q = probe.fit(z, labels).log_probabilities(z)
        torch.testing.assert_close(log_q.exp().sum(1), torch.ones(300, dtype=torch.float64))


def test_the_network_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    MLP(max_epochs=1).fit(*factors(100))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KernelRidge(alphas=()), "alphas must hold at least one value > 0; got none"),
        (lambda: KernelRidge(gammas=(0.0,)), "gammas must be a finite number > 0; got 0.0"),
        (lambda: NystroemRidge(n_landmarks=0), "n_landmarks must be >= 1; got 0"),
        (lambda: NystroemRidge(n_folds=1), r"n_folds must be >= 2 \(one fold is held out\); got 1"),
        (lambda: NearestNeighbours(ks=()), "ks must hold at least one number of neighbours"),
        (lambda: NearestNeighbours(ks=(0,)), "ks must be >= 1; got 0"),
        (lambda: MLP(hidden=(0,)), "hidden must be >= 1; got 0"),
        (lambda: MLP(weight_decay=-1.0), "weight_decay must be a finite number >= 0"),
        (lambda: MLP(patience=0), "patience must be >= 1; got 0"),
    ],
)
def test_settings_outside_their_range_are_named(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_too_few_groups_are_named() -> None:
    z, targets = factors(30)
    with pytest.raises(ShapeError, match="3 folds need at least 3 groups of items; got 2"):
        KernelRidge().fit(z, targets, groups=torch.arange(30) % 2)
