"""How low the loss of a run can go: the best table of vectors, one for each thing shown and each thing said.

Encoders that could be any function of what captions may name would reach it; what training falls short of it is its
optimality gap, in nats. Nothing but factors is drawn, so it takes seconds.
"""

from functools import lru_cache

import torch
from torch import Tensor, nn

from vergence.channels import Redraw
from vergence.factors import FactorSpace
from vergence.losses import alignment_penalty
from vergence.random import named, spawn
from vergence.studies.images.spec import ImageRun
from vergence.studies.images.train import CONTRASTS

_STEPS, _RATE, _MEASURED = 1200, 0.05, 40
_MOST = 20_000  # rows of a table


def least_loss(run: ImageRun) -> float | None:
    """The loss of the best tables of vectors, a mean over fresh batches; `None` if factors are no grid that is small.

    Args:
        run: Whose texts, output size, objective, temperature, bottleneck and batch.
    """
    space = run.data.scenes.space
    names = [name for name in space if name in run.misalignment.selected]
    sizes = [len(space[name].values or ()) for name in names]
    n_cells = int(torch.tensor([size + 1 for size in sizes]).prod())
    if not run.contrastive or not all(sizes) or n_cells > _MOST or run.learned:
        return None
    return _least(
        space.subset(names),
        (run.mention, run.redraw),
        run.encoding_size,
        (run.objective, run.temperature, run.bottleneck),
        run.budget.batch_size,
    )


@lru_cache(maxsize=128)
def _least(
    space: FactorSpace,
    texts: tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float], ...]],
    encoding_size: int,
    objective: tuple[str, float, float],
    batch_size: int,
) -> float:
    pairs = _Pairs(space, *map(dict, texts))
    weights, training, fresh = spawn(named(0, "least loss", encoding_size, *objective), 3)
    tables = [
        nn.Parameter(torch.randn(pairs.n_cells, encoding_size, generator=weights) * 0.3) for _ in ("shown", "said")
    ]
    optimizer = torch.optim.Adam(tables, lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    for _ in range(_STEPS):
        loss = _loss(tables, pairs.draw(batch_size, training), objective)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        drawn = [float(_loss(tables, pairs.draw(batch_size, fresh), objective)) for _ in range(_MEASURED)]
    return sum(drawn) / len(drawn)


class _Pairs:
    """Draws what is shown and what is said as cells of a table; one more value of each factor is silence."""

    def __init__(self, space: FactorSpace, mention: dict[str, float], redraw: dict[str, float]) -> None:
        self.sizes = [len(factor.values or ()) for factor in space.factors]
        self.mention = [mention[name] for name in space]
        self.redraw = [Redraw(redraw.get(name, 0.0)).probability for name in space]
        self.n_cells = int(torch.tensor([size + 1 for size in self.sizes]).prod())

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        shown, said = torch.zeros(n, dtype=torch.long), torch.zeros(n, dtype=torch.long)
        for size, q, rho in zip(self.sizes, self.mention, self.redraw, strict=True):
            value, other = torch.randint(size, (2, n), generator=generator)
            wrong, silent = torch.rand(2, n, generator=generator)
            told = torch.where(wrong < rho, other, value)
            shown = shown * (size + 1) + value
            said = said * (size + 1) + torch.where(silent < q, told, size)
        return shown, said


def _loss(tables: list[nn.Parameter], cells: tuple[Tensor, Tensor], objective: tuple[str, float, float]) -> Tensor:
    z_image, z_text = (table[at] for table, at in zip(tables, cells, strict=True))
    name, temperature, bottleneck = objective
    loss = CONTRASTS[name](z_image, z_text, temperature=temperature)
    return loss + 2 * bottleneck * alignment_penalty(z_image, z_text, distance="cosine")
