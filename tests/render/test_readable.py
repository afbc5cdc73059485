"""Whether images show what their labels say: a small network, told the labels, reads them at 32 pixels."""

import pytest
import torch
from sklearn.metrics import matthews_corrcoef
from torch import nn

from vergence.random import generator
from vergence.render import render_scenes
from vergence.render.places import places
from vergence.scenes import SCENES

N_FIT, N_TEST, EPOCHS, BATCH = 6000, 1000, 12, 128


def halved(n_in: int, n_out: int, stride: int = 2) -> list[nn.Module]:
    return [nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mpi3d-like"])
def test_a_small_network_reads_every_factor_that_captions_may_name(name: str) -> None:
    scene = SCENES[name]
    labels = scene.draw(N_FIT + N_TEST, generator=generator(0))
    images = torch.from_numpy(render_scenes(name, labels, side=32)).permute(0, 3, 1, 2).float() / 255 - 0.5
    at = places(labels, scene.space)
    codes = torch.stack([torch.from_numpy(at[factor]) for factor in scene.captioned], 1)
    sizes = [len(scene.space[factor].values or ()) for factor in scene.captioned]
    torch.manual_seed(0)
    stages = [*halved(3, 16, 1), *halved(16, 32), *halved(32, 64), *halved(64, 96)]
    head = [nn.Flatten(), nn.Linear(96 * 16, 128), nn.ReLU(), nn.Linear(128, sum(sizes))]
    network = nn.Sequential(*stages, *head)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, EPOCHS * (N_FIT // BATCH))
    for _ in range(EPOCHS):
        for rows in torch.randperm(N_FIT).split(BATCH)[: N_FIT // BATCH]:
            found = network(images[rows]).split(sizes, 1)
            loss = sum(nn.functional.cross_entropy(one, codes[rows, k]) for k, one in enumerate(found))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        found = network(images[N_FIT:]).split(sizes, 1)
    for k, factor in enumerate(scene.captioned):
        assert matthews_corrcoef(codes[N_FIT:, k], found[k].argmax(1)) >= 0.9, factor
