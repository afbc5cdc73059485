"""Settings of a training."""

from math import cos, pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vergence.errors import ConfigError
from vergence.training import TrainConfig


def slow_rate(highest: float, warmup: float, progress: float) -> float:
    if progress < warmup:
        return highest / warmup * progress
    return highest * (0.5 + 0.5 * cos((progress - warmup) / (1 - warmup) * pi))


@given(st.floats(1e-6, 10), st.floats(0, 0.99), st.floats(0, 1))
def test_the_rate_agrees_with_its_formula_and_stays_in_range(highest: float, warmup: float, progress: float) -> None:
    rate = TrainConfig(learning_rate=highest, warmup=warmup).rate_at(progress)
    assert rate == pytest.approx(slow_rate(highest, warmup, progress), rel=1e-9, abs=1e-12 * highest)
    assert 0 <= rate <= highest * (1 + 1e-12)


@given(st.floats(0.01, 0.99))
def test_the_rate_rises_peaks_at_the_end_of_the_warm_up_and_ends_at_0(warmup: float) -> None:
    config = TrainConfig(learning_rate=0.5, warmup=warmup)
    before = [config.rate_at(warmup * i / 20) for i in range(21)]
    after = [config.rate_at(warmup + (1 - warmup) * i / 20) for i in range(20)]
    assert before == sorted(before)
    assert before[0] == 0
    assert config.rate_at(warmup) == 0.5
    assert after == sorted(after, reverse=True)
    assert config.rate_at(1.0) == pytest.approx(0, abs=1e-12)


def test_without_warm_up_the_rate_starts_highest_and_with_nothing_else_it_ends_highest() -> None:
    assert TrainConfig(learning_rate=0.5, warmup=0.0).rate_at(0.0) == 0.5
    assert TrainConfig(learning_rate=0.5, warmup=1.0).rate_at(1.0) == 0.5


@given(st.integers(2, 50), st.integers(0, 200))
def test_only_whole_batches_count(batch_size: int, n: int) -> None:
    config = TrainConfig(batch_size=batch_size)
    if n >= batch_size:
        assert config.steps_per_epoch(n) == n // batch_size
    else:
        with pytest.raises(ConfigError, match=f"batch_size must be <= the number of pairs, {n}; got {batch_size}"):
            config.steps_per_epoch(n)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "epochs must be >= 1; got 0"),
        ({"epochs": True}, "epochs must be >= 1; got True"),
        ({"batch_size": 1}, r"batch_size must be >= 2 \(a contrastive loss needs a negative\); got 1"),
        ({"learning_rate": 0.0}, "learning_rate must be a finite number > 0; got 0.0"),
        ({"learning_rate": float("inf")}, "learning_rate must be a finite number > 0; got inf"),
        ({"weight_decay": -0.1}, "weight_decay must be a finite number >= 0; got -0.1"),
        ({"warmup": 1.5}, r"warmup must be a probability in \[0, 1\]; got 1.5"),
        ({"max_grad_norm": 0.0}, "max_grad_norm must be a finite number > 0; got 0.0"),
        ({"optimizer": "adam"}, "unknown optimizer 'adam'; known: adamw, muon, sgd. Did you mean"),
        ({"accumulation": 0}, "accumulation must be >= 1; got 0"),
        ({"chunk_size": 0}, "chunk_size must be >= 1; got 0"),
        ({"precision": "fp16"}, "unknown precision 'fp16'; known: float32, bf16"),
        ({"parallel": "tp"}, "unknown parallel 'tp'; known: ddp, fsdp"),
        ({"tracker": "tensorbord"}, "unknown tracker 'tensorbord'; known: tensorboard. Did you mean 'tensorboard'"),
    ],
)
def test_settings_validate_themselves(setting, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**setting)
