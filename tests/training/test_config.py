"""Settings of a training."""

from math import cos, pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vergence.errors import ConfigError
from vergence.training import EarlyStop, TrainConfig
from vergence.training.limits import MOST, fits_in_memory
from vergence.training.mapping import check_keys, from_mapping


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
        ({"epochs": True}, "epochs must be a whole number >= 1; got True"),
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


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"epochs": "3"}, "train.epochs must be a whole number; got '3': leave out the quotes"),
        ({"epochs": 3.0}, "train.epochs must be a whole number; got 3.0"),
        ({"learning_rate": 10**400}, "train.learning_rate must be a number; got 1000"),
        ({"max_grad_norm": "1"}, "train.max_grad_norm must be a number or null; got '1': leave out the quotes"),
        ({"early_stop": []}, r"train.early_stop must be keys with values; got \[\]"),
        ({"trian": 1}, "unknown key in train 'trian'"),
        ([], r"train must be keys with values; got \[\]"),
    ],
)
def test_a_mapping_is_taken_as_it_stands_or_refused(mapping, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        check_keys(TrainConfig, mapping, path="train")


def test_a_mapping_makes_what_its_parts_would() -> None:
    mapping = {"epochs": 3, "early_stop": {"patience": 2}, "learning_rate": 1}
    made = from_mapping(TrainConfig, mapping)
    assert made == TrainConfig(epochs=3, early_stop=EarlyStop(patience=2), learning_rate=1)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from([*TrainConfig.__dataclass_fields__, "patience", "x"]), inner, max_size=3)
        ),
        max_leaves=6,
    )
)
def test_whatever_the_mapping_only_documented_errors_come(content) -> None:
    try:
        from_mapping(TrainConfig, content) if isinstance(content, dict) else check_keys(TrainConfig, content)
    except ConfigError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_each_largest_setting_is_one_and_a_step_more_is_none() -> None:
    for name in ("epochs", "batch_size", "accumulation", "chunk_size"):
        TrainConfig(**{name: MOST[name]})
        with pytest.raises(ConfigError, match=f"{name} must be <= {MOST[name]:,}; got {MOST[name] + 1}"):
            TrainConfig(**{name: MOST[name] + 1})


def test_what_needs_more_than_there_is_says_both() -> None:
    fits_in_memory(1000, "this")
    with pytest.raises(ConfigError, match=r"^this needs 1,000,000,000 GB of memory; this machine has \d+ GB$"):
        fits_in_memory(10**18, "this")
