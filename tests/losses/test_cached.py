"""The cached-gradient step against the plain one."""

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from vergence.errors import ConfigError, ShapeError
from vergence.losses import (
    LearnedTemperature,
    Objective,
    Standardize,
    WeightedTerm,
    alignment_penalty,
    cached_backward,
    info_nce,
    standardize,
)
from vergence.random import generator


def encoders(*, dropout: float = 0.0, dtype: torch.dtype = torch.float64) -> nn.ModuleList:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.ModuleList(
            nn.Sequential(nn.Linear(size, 16), nn.GELU(), nn.Dropout(dropout), nn.LayerNorm(16), nn.Linear(16, 4))
            for size in (8, 6)
        ).to(dtype)


def objective() -> Objective:
    return Objective(
        {
            "contrast": WeightedTerm(info_nce, 1.0, temperature=LearnedTemperature(0.2)),
            "bottleneck": WeightedTerm(alignment_penalty, 0.5),
        }
    )


def batch(size: int = 22) -> list[torch.Tensor]:
    stream = generator(0)
    return [torch.randn(size, dim, generator=stream, dtype=torch.float64) for dim in (8, 6)]


def norms(*modules: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.grad.flatten().double() for module in modules for parameter in module.parameters()])


@pytest.mark.parametrize("chunk_size", [1, 5, 22, 100])
def test_gradients_are_those_of_the_plain_step(chunk_size: int) -> None:
    plain, cached, losses = encoders(), encoders(), (objective(), objective())
    expected = losses[0](*(encoder(part) for encoder, part in zip(plain, batch(), strict=True)))
    expected.total.backward()
    found = cached_backward(list(cached), batch(), losses[1], chunk_size=chunk_size)
    assert found.to_floats() == pytest.approx(expected.to_floats(), rel=1e-12)
    difference = norms(cached, losses[1]) - norms(plain, losses[0])
    assert difference.norm() <= 1e-12 * norms(plain, losses[0]).norm()


def test_dropout_drops_the_same_units_in_both_passes() -> None:
    plain, cached = encoders(dropout=0.5), encoders(dropout=0.5)
    torch.manual_seed(1)
    z = [torch.cat([encoder(part) for part in x.split(5)]) for encoder, x in zip(plain, batch(), strict=True)]
    info_nce(*z).backward()
    after = torch.rand(1)
    torch.manual_seed(1)
    cached_backward(list(cached), batch(), info_nce, chunk_size=5)
    torch.testing.assert_close(norms(cached), norms(plain), rtol=1e-12, atol=1e-15)
    assert torch.rand(1) == after


def test_mixed_precision_reaches_every_weight() -> None:
    plain, cached = encoders(dtype=torch.float32), encoders(dtype=torch.float32)
    x = [part.float() for part in batch()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = [encoder(part) for encoder, part in zip(plain, x, strict=True)]
        info_nce(*z).backward()
        cached_backward(list(cached), x, info_nce, chunk_size=22)
    torch.testing.assert_close(norms(cached), norms(plain), rtol=0.05, atol=0.05)


def test_processes_exchange_gradients_once_and_the_loss_can_be_scaled() -> None:
    entered, plain, scaled = [], encoders(), encoders()

    @contextmanager
    def no_sync():
        entered.append(True)
        yield

    cached_backward(list(plain), batch(), info_nce, chunk_size=11)
    cached_backward(
        list(scaled), batch(), info_nce, chunk_size=11, no_sync=no_sync, backward=lambda loss: (8 * loss).backward()
    )
    assert len(entered) == 3  # two encoders by two chunks, but for the last
    torch.testing.assert_close(norms(scaled), 8 * norms(plain))


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(4), Standardize(4)])
def test_encoders_that_look_at_the_batch_are_refused_and_the_cure_works(layer: nn.Module) -> None:
    towers = [nn.Sequential(nn.Linear(8, 4), layer), nn.Linear(6, 4)]
    x = [part.float() for part in batch()]
    with pytest.raises(ConfigError, match=r"\(1\) takes its statistics from the chunk, not from the batch"):
        cached_backward(towers, x, info_nce, chunk_size=4)
    towers[0].eval()
    cached_backward(towers, x, lambda a, b: info_nce(standardize(a), standardize(b)), chunk_size=4)


def test_batches_that_do_not_pair_up_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"each of 2 encoders needs a batch of the same length; got batches of 22$"):
        cached_backward(list(encoders()), batch()[:1], info_nce, chunk_size=4)
    with pytest.raises(ShapeError, match="got batches of 22, 5"):
        cached_backward(list(encoders()), [batch()[0], batch(5)[1]], info_nce, chunk_size=4)
    with pytest.raises(ConfigError, match="chunk_size must be >= 1; got 0"):
        cached_backward(list(encoders()), batch(), info_nce, chunk_size=0)
