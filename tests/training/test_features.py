"""What settings of the engine do to a training, each against the same by hand or by another way."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.common import StoppedError, differing, run, stop_after
from torch import Tensor, nn

from vergence.encoders import DualEncoder
from vergence.errors import ConfigError
from vergence.losses import DiagonalGaussian, Objective, WeightedTerm, alignment_penalty, info_nce
from vergence.random import generator, spawn
from vergence.training import EarlyStop, EpochEnd, TrainConfig, train
from vergence.training.optimizers import hidden_matrices
from vergence.views import ViewPair

CONFIG = TrainConfig(epochs=2, batch_size=16, learning_rate=0.05, warmup=0.0, max_grad_norm=None)


def towers(*, dropout: float = 0.0, dtype: torch.dtype = torch.float64) -> DualEncoder:
    def tower() -> nn.Module:
        return nn.Sequential(
            nn.Linear(4, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)
        )

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DualEncoder(tower(), tower()).to(dtype)


def pairs(n: int = 64, *, dtype: torch.dtype = torch.float64) -> ViewPair:
    x = torch.randn(n, 4, generator=generator(0), dtype=dtype)
    return ViewPair(image=x, text=x + 0.1 * torch.randn(n, 4, generator=generator(1), dtype=dtype))


def fit(config: TrainConfig, encoder: DualEncoder | None = None, **more) -> dict[str, Tensor]:
    encoder = encoder or towers()
    terms = {"contrast": WeightedTerm(info_nce, temperature=0.5), "pull": WeightedTerm(alignment_penalty, 0.1)}
    dtype = next(encoder.parameters()).dtype
    train(encoder, pairs(dtype=dtype), Objective(terms), config, generator=generator(2), **more)
    return {name: value.clone() for name, value in encoder.state_dict().items()}


def close(one: Mapping[str, Tensor], other: Mapping[str, Tensor], tolerance: float) -> None:
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=tolerance, atol=tolerance, msg=name)


@pytest.mark.parametrize("chunk_size", [1, 5, 16, 99])
def test_chunks_change_memory_and_nothing_else(chunk_size: int) -> None:
    close(fit(replace(CONFIG, chunk_size=chunk_size)), fit(CONFIG), 1e-9)


def test_chunks_and_dropout_follow_from_the_generator() -> None:
    config = replace(CONFIG, chunk_size=4)
    one, other, without = (fit(config, towers(dropout=share)) for share in (0.4, 0.4, 0.0))
    assert differing(one, other) == []
    assert differing(one, without) != []


def test_distributions_cannot_be_encoded_by_chunks() -> None:
    class Stochastic(nn.Linear):
        def forward(self, x: Tensor) -> DiagonalGaussian:
            return DiagonalGaussian.from_output(super().forward(x))

    encoder = DualEncoder(Stochastic(4, 6), Stochastic(4, 6)).double()
    with pytest.raises(ConfigError, match="chunk_size must be None for encoders that return distributions"):
        fit(replace(CONFIG, chunk_size=4), encoder)


def test_an_accumulated_step_is_one_on_the_mean_gradient_of_its_batches() -> None:
    """One step by hand: the same four batches, each with its own negatives."""
    config = replace(CONFIG, epochs=1, optimizer="sgd", accumulation=4, weight_decay=0.0)
    found, encoder, views = fit(config), towers(), pairs()
    order_stream = spawn(spawn(generator(2), 1)[0], 4)[0]
    order = torch.randperm(64, generator=order_stream).reshape(4, 16)
    for rows in order:
        batch = views.take(rows)
        z = encoder(batch.image, batch.text)
        ((info_nce(*z, temperature=0.5) + 0.1 * alignment_penalty(*z)) / 4).backward()
    by_hand = {name: p.detach() - config.learning_rate * p.grad for name, p in encoder.named_parameters()}
    close(found, by_hand, 1e-12)


def test_accumulation_needs_enough_pairs_for_a_step() -> None:
    with pytest.raises(ConfigError, match=r"number of pairs, 64 / accumulation \(5\); got 16"):
        fit(replace(CONFIG, accumulation=5))


def test_muon_fits_hidden_matrices_and_adamw_all_else() -> None:
    encoder = towers()
    hidden = list(hidden_matrices(encoder))
    assert [weight.data_ptr() for weight in hidden] == [
        tower[3].weight.data_ptr() for tower in (encoder.image, encoder.text)
    ]
    one_step = replace(CONFIG, epochs=1, accumulation=4, weight_decay=0.0)
    start, muon, adamw = towers().state_dict(), fit(replace(one_step, optimizer="muon")), fit(one_step)
    assert sorted(differing(muon, adamw)) == ["image.3.weight", "text.3.weight"]
    for name in ("image.3.weight", "text.3.weight"):
        values = torch.linalg.svdvals(muon[name] - start[name])
        assert values.median() > 0.5 * values.max(), "an orthogonal update has equal singular values, nearly"


def test_muon_without_a_hidden_matrix_is_refused() -> None:
    with pytest.raises(ConfigError, match="'muon' needs a matrix between hidden layers; the encoder has none"):
        fit(replace(CONFIG, optimizer="muon"), DualEncoder(nn.Linear(4, 3), nn.Linear(4, 3)).double())


@pytest.mark.parametrize("optimizer", ["muon", "sgd"])
def test_every_optimizer_is_resumed_to_the_same_bits(tmp_path: Path, optimizer: str) -> None:
    config = replace(CONFIG, optimizer=optimizer, epochs=3)
    with pytest.raises(StoppedError):
        fit(config, out=tmp_path, callbacks=[stop_after(2)])
    assert differing(fit(config, out=tmp_path, resume=True), fit(config)) == []


def test_mixed_precision_comes_near_and_leaves_the_encoder_as_it_was() -> None:
    encoder = towers(dtype=torch.float32)
    found = fit(replace(CONFIG, precision="bf16"), encoder)
    exact = fit(CONFIG, towers(dtype=torch.float32))
    assert differing(found, exact) != []
    close(found, exact, 0.1)
    close(fit(replace(CONFIG, precision="bf16", chunk_size=4), towers(dtype=torch.float32)), found, 0.1)
    assert {value.dtype for value in found.values()} == {torch.float32}
    with torch.no_grad():
        seen = encoder.image(pairs(dtype=torch.float32).image)
    assert seen.dtype == torch.float32
    assert "forward" not in vars(encoder), "no wrapper is left on the encoder"


def metrics_of(values: list[float]):
    return lambda end: {"score": values[end.epoch - 1]}


def test_metrics_enter_the_history_and_end_the_training(tmp_path: Path) -> None:
    config = TrainConfig(epochs=6, batch_size=16, early_stop=EarlyStop(metric="score", patience=2))
    scores = [3.0, 2.0, 2.5, 2.0, 1.0, 0.0]
    seen: list[EpochEnd] = []
    result, tensors = run(tmp_path, config=config, evaluate=metrics_of(scores), callbacks=[seen.append])
    assert result.history["score"].tolist() == scores[:4]
    assert [end.epoch for end in seen] == [1, 2, 3, 4]
    again, same = run(tmp_path, config=config, evaluate=metrics_of(scores), resume=True)
    assert again.resumed_from == 4
    assert len(again.history) == 4
    assert differing(tensors, same) == []


@pytest.mark.parametrize(
    ("scores", "settings", "ends_after"),
    [
        ([1, 2, 3, 4], {"higher_is_better": True, "patience": 1}, None),
        ([1, 2, 2, 3], {"higher_is_better": True, "patience": 1}, 3),
        ([4, 3, 2, 1], {"patience": 1}, None),
        ([4, 3.9, 3.8, 3.7], {"patience": 2, "margin": 0.5}, 3),
        ([1, float("nan"), float("nan"), 0], {"patience": 2}, 3),
    ],
)
def test_patience_counts_epochs_without_improvement(scores, settings, ends_after) -> None:
    stop = EarlyStop(metric="m", **settings)
    ends = [epoch for epoch in range(1, 5) if stop([{"m": score} for score in scores[:epoch]])]
    assert (ends[0] if ends else None) == ends_after


def test_an_unknown_metric_is_named() -> None:
    config = replace(CONFIG, early_stop=EarlyStop(metric="totl"))
    with pytest.raises(ConfigError, match=r"unknown metric 'totl'; known: epoch, rate, total, contrast, pull. Did you"):
        fit(config)


def test_sharded_views_of_one_process_are_its_views() -> None:
    assert len(fit(CONFIG, sharded=True)) == len(fit(CONFIG))
