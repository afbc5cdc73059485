"""What the loop does to weights, and what it leaves alone."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.progress import Progress
from tests.training.common import CONFIG, StoppedError, differing, encoder, objective, run, stop_after, views
from torch import Tensor, nn

from vergence.encoders import DualEncoder
from vergence.errors import ConfigError, ShapeError
from vergence.losses import Objective, WeightedTerm, info_nce
from vergence.probes import encode
from vergence.random import generator
from vergence.training import EpochEnd, TrainConfig, train
from vergence.views import ViewPair


def vectors(n: int = 64, dim: int = 4) -> ViewPair:
    x = torch.randn(n, dim, generator=generator(0))
    return ViewPair(image=x, text=x + 0.1 * torch.randn(n, dim, generator=generator(1)))


def linear(dim: int = 4, out: int = 3) -> DualEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DualEncoder(nn.Linear(dim, out), nn.Linear(dim, out))


def fit(
    term, views: ViewPair | None = None, *, config: TrainConfig = CONFIG, encoder: DualEncoder | None = None, **more
):
    objective = term if isinstance(term, Objective) else Objective({"term": WeightedTerm(term)})
    return train(encoder or linear(), views or vectors(), objective, config, generator=generator(2), **more)


def test_the_same_generator_gives_the_same_bits_and_another_gives_others() -> None:
    (one, same), (other, others) = run(), run()
    assert differing(same, others) == []
    pd.testing.assert_frame_equal(one.history, other.history, check_exact=True)
    assert differing(same, run(seed=4)[1]) != []


def test_global_random_states_are_neither_read_nor_moved() -> None:
    def states() -> tuple[object, ...]:
        return torch.random.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002

    first = run()[1]
    torch.manual_seed(77)
    before = states()
    second = run(callbacks=[lambda end: None])[1]
    assert states() == before
    assert differing(first, second) == []


def test_callbacks_that_draw_or_switch_modes_change_nothing() -> None:
    def meddle(end: EpochEnd) -> None:
        torch.rand(3)
        end.encoder.train()
        encode(end.encoder, views())

    assert differing(run(callbacks=[meddle])[1], run()[1]) == []


def test_dropout_is_at_work_and_follows_from_the_generator() -> None:
    without = run(encoder=encoder(dropout=0.0))[1]
    assert differing(run(encoder=encoder(dropout=0.5))[1], run(encoder=encoder(dropout=0.5))[1]) == []
    assert differing(run(encoder=encoder(dropout=0.5))[1], without) != []


def test_every_parameter_is_trained_the_temperature_too_and_it_is_in_the_checkpoint(tmp_path: Path) -> None:
    start = {**encoder().state_dict(), **objective().state_dict(prefix="objective.")}
    _, tensors = run(tmp_path)
    assert set(differing(start, tensors)) == set(start)
    content = (tmp_path / "checkpoints" / "epoch-000004.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert "objective:terms.contrast.learned.temperature.log_temperature" in header
    assert {f"encoder:{name}" for name in encoder().state_dict()} <= set(header)


def test_matching_pairs_come_to_lie_closer_than_others() -> None:
    result = fit(info_nce, config=TrainConfig(epochs=30, batch_size=16, learning_rate=0.05))
    assert result.history["term"].iloc[-1] < 0.7 * result.history["term"].iloc[0]


def test_history_has_a_row_for_each_epoch_and_a_column_for_each_term(tmp_path: Path) -> None:
    ends: list[EpochEnd] = []
    history = run(tmp_path, callbacks=[ends.append])[0].history
    assert list(history.columns) == ["epoch", "rate", "total", "contrast", "bottleneck"]
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert history["rate"].tolist() == [CONFIG.rate_at(epoch / 4) for epoch in (1, 2, 3, 4)]
    np.testing.assert_allclose(history["total"], history["contrast"] + 0.1 * history["bottleneck"], rtol=1e-5)
    assert [end.losses for end in ends] == history[["total", "contrast", "bottleneck"]].to_dict("records")
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert lines == history.to_dict("records")


def test_callbacks_see_the_encoder_in_evaluation_mode_and_the_result_is_in_it() -> None:
    seen = []
    result = run(callbacks=[lambda end: seen.append((end.epoch, end.epochs, any_training(end.encoder)))])[0]
    assert seen == [(1, 4, False), (2, 4, False), (3, 4, False), (4, 4, False)]
    assert not any_training(result.encoder)


def any_training(module: nn.Module) -> bool:
    return any(part.training for part in module.modules())


def test_training_is_in_training_mode_whatever_the_mode_before() -> None:
    evaluating, objectives = encoder().eval(), objective().eval()
    assert differing(run(encoder=evaluating, objective=objectives)[1], run()[1]) == []


@pytest.mark.parametrize("n", [64, 70, 79])
def test_each_epoch_takes_every_pair_once_in_another_order_and_leaves_the_remainder_out(n: int) -> None:
    rows = torch.arange(n, dtype=torch.float32)[:, None]
    seen: list[Tensor] = []

    def watch(images: Tensor, stream: torch.Generator) -> Tensor:
        seen.append(images[:, 0].clone())
        return images

    def paired(z_image: Tensor, z_text: Tensor) -> Tensor:
        assert torch.equal(z_image, z_text)
        return z_image.mean()

    shared = nn.Linear(1, 3)
    fit(paired, ViewPair(image=rows, text=rows), encoder=DualEncoder(shared, shared), augment=watch)
    epochs = torch.cat(seen).reshape(4, 64).tolist()
    assert all(len(set(epoch)) == 64 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert [len(batch) for batch in seen] == [16] * 16


class Scaled(nn.Module):
    """A learned matrix of an objective."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.eye(3))

    def forward(self) -> Tensor:
        return self.matrix


def through(z_image: Tensor, z_text: Tensor, *, matrix: Tensor) -> Tensor:
    return ((z_image @ matrix - z_text) ** 2).mean()


def test_what_the_objective_learns_is_trained_whatever_its_shape() -> None:
    learned = Scaled()
    fit(Objective({"term": WeightedTerm(through, matrix=learned)}))
    assert not torch.equal(learned.matrix, torch.eye(3))


def test_weights_decay_at_the_scheduled_rate_and_biases_scales_and_the_objective_do_not() -> None:
    """With a loss of weight 0 there is no gradient, and only the decay, 1 - rate x decay at each step, is left."""
    fitted, learned = encoder(), Scaled()
    start = {name: weight.detach().clone() for name, weight in fitted.named_parameters()}
    config = TrainConfig(epochs=3, batch_size=16, weight_decay=0.3, learning_rate=0.2, warmup=0.25)
    weightless = Objective({"term": WeightedTerm(through, 0.0, matrix=learned)})
    headed = DualEncoder(*(nn.Sequential(part, nn.Linear(6, 3)) for part in (fitted.image, fitted.text)))
    train(headed, views(), weightless, config, generator=generator(0))
    left = 1.0
    for step in range(12):
        left *= 1 - config.rate_at(step / 12) * 0.3
    assert left < 0.9
    for name, weight in fitted.named_parameters():
        expected = start[name] * left if weight.ndim >= 2 else start[name]
        torch.testing.assert_close(weight.detach(), expected, rtol=1e-5, atol=1e-7)
    assert torch.equal(learned.matrix, torch.eye(3))


def test_a_step_is_adamw_on_the_clipped_gradient() -> None:
    """One batch for each epoch, against torch's optimiser driven by hand."""
    config = TrainConfig(epochs=5, batch_size=64, learning_rate=0.1, max_grad_norm=0.01, weight_decay=0.0, warmup=0.4)
    by_hand, data = linear(), vectors()
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=1.0, weight_decay=0.0)
    for step in range(5):
        optimizer.param_groups[0]["lr"] = config.rate_at(step / 5)
        optimizer.zero_grad()
        info_nce(*by_hand(data.image, data.text)).backward()
        norm = torch.cat([weight.grad.flatten() for weight in by_hand.parameters()]).norm()
        for weight in by_hand.parameters():
            weight.grad *= min(1.0, 0.01 / norm)
        optimizer.step()
    fitted = fit(info_nce, config=config).encoder
    for weight, expected in zip(fitted.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(weight, expected, rtol=1e-3, atol=1e-4)


def test_without_a_norm_gradients_are_left_as_they_are() -> None:
    unclipped = TrainConfig(epochs=2, batch_size=16, max_grad_norm=None)
    generous = TrainConfig(epochs=2, batch_size=16, max_grad_norm=1e9)
    one, other = (fit(info_nce, config=config).encoder.state_dict() for config in (unclipped, generous))
    assert differing(one, other) == []


def test_a_frozen_parameter_stays_as_it_is(tmp_path: Path) -> None:
    fitted = linear()
    fitted.text.requires_grad_(False)
    start = fitted.text.weight.clone()
    fit(info_nce, encoder=fitted, out=tmp_path)
    assert torch.equal(fitted.text.weight, start)
    assert not torch.equal(fitted.image.weight, linear().image.weight)


def test_scheduled_weights_are_told_the_share_of_the_training_done() -> None:
    told: list[float] = []

    def schedule(share: float) -> float:
        told.append(share)
        return 1.0

    fit(Objective({"term": WeightedTerm(info_nce, schedule)}))
    assert sorted(set(told)) == [step / 16 for step in range(16)]


def test_fewer_pairs_than_a_batch_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size must be <= the number of pairs, 15; got 16"):
        run(tmp_path / "out", views=views(15))
    assert list(tmp_path.iterdir()) == []


def exploding(z_image: Tensor, z_text: Tensor) -> Tensor:
    return (z_image * torch.inf).sum() - (z_image * torch.inf).sum()


def kinked(z_image: Tensor, z_text: Tensor) -> Tensor:
    return (z_image - z_image).square().sum().sqrt() + z_text.mean()


@pytest.mark.parametrize(
    ("term", "spoil", "message"),
    [
        (info_nce, True, "training diverged: z_image holds [0-9]+ entries that are NaN or infinite, of 192; lower lea"),
        (
            exploding,
            False,
            r"training diverged: the loss is {'total': nan, 'term': nan}; lower learning_rate, and ch",
        ),
        (kinked, False, r"training diverged: weights of image.weight are NaN or infinite; lower learning_rate, and ch"),
    ],
)
def test_a_training_that_diverges_is_stopped_in_one_line_and_not_saved(tmp_path, term, spoil, message) -> None:
    data = vectors()
    if spoil:
        data.image[5, 1] = torch.nan
    one_step = TrainConfig(epochs=1, batch_size=64, warmup=0.0)
    with pytest.raises(ConfigError, match=message) as caught:
        fit(term, data, config=one_step, out=tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_term_complains_of_in_finite_representations_keeps_its_own_words() -> None:
    def picky(z_image: Tensor, z_text: Tensor) -> Tensor:
        raise ShapeError(f"needs 99 pairs; got {len(z_image)}")

    with pytest.raises(ShapeError, match=r"^needs 99 pairs; got 16$"):
        fit(picky)


def test_an_error_leaves_the_random_state_and_the_display_as_they_were() -> None:
    before = torch.random.get_rng_state()
    with Progress(disable=True) as progress, pytest.raises(StoppedError):
        run(progress=progress, callbacks=[stop_after(2)])
    assert progress.tasks == []
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_display_that_is_passed_gets_a_bar_for_the_time_of_the_training() -> None:
    seen = []
    with Progress(disable=True) as progress:
        run(progress=progress, label="mine", callbacks=[lambda end: seen.append(_bar(progress))])
    assert seen == [("mine", 4.0, 16), ("mine", 8.0, 16), ("mine", 12.0, 16), ("mine", 16.0, 16)]
    assert progress.tasks == []


def _bar(progress: Progress) -> tuple[str, float, float | None]:
    (task,) = progress.tasks
    return task.description, task.completed, task.total


def test_devices_are_named_and_either_can_follow_the_other() -> None:
    with pytest.raises(ConfigError, match="unknown device 'cuda:1'; known: cpu, auto"):
        run(device="cuda:1")
    assert len(fit(info_nce, device="auto").history) == len(fit(info_nce, device="cpu").history) == 4


def test_the_tensorboard_tracker_writes_every_term_of_every_epoch(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = TrainConfig(epochs=4, batch_size=16, tracker="tensorboard")
    history = run(tmp_path, config=config)[0].history
    folder = next(path for path in tmp_path.rglob("events.out.tfevents*") if path.stat().st_size > 500).parent
    events = EventAccumulator(str(folder)).Reload()
    for term in ("total", "contrast", "bottleneck"):
        scalars = events.Scalars(term)
        assert [scalar.step for scalar in scalars] == [1, 2, 3, 4]
        np.testing.assert_allclose([scalar.value for scalar in scalars], history[term], rtol=1e-6)


def test_a_tracker_needs_a_folder() -> None:
    with pytest.raises(ConfigError, match="tracker 'tensorboard' needs a folder to write to; pass out"):
        run(config=TrainConfig(batch_size=16, tracker="tensorboard"))


@pytest.mark.parametrize("name", ["epoch", "rate", "total", "term"])
def test_a_metric_cannot_take_the_place_of_a_column_of_the_history(name: str) -> None:
    with pytest.raises(ConfigError, match=f"evaluate must not name a metric '{name}', a column of the history"):
        fit(info_nce, evaluate=lambda end: {name: 0.0})
