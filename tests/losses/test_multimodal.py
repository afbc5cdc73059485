"""More than two modalities, some missing."""

import pytest
import torch
from tests.losses.common import CASES, Case, pairs

from vergence.errors import ConfigError, ShapeError
from vergence.losses import all_pairs, info_nce, one_versus_rest, over_pairs

NAMES = ("image", "text", "sound", "touch")


def modalities(batch: int = 8) -> dict[str, torch.Tensor]:
    return {name: pairs(batch, 4, seed=seed)[0] for seed, name in enumerate(NAMES)}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_objective_is_averaged_over_pairs_of_modalities(case: Case) -> None:
    z = modalities()
    expected = [case(z[a], z[b]) for a, b in all_pairs(NAMES)]
    torch.testing.assert_close(over_pairs(case, z), torch.stack(expected).mean())
    versus = [case(z["text"], z[name]) for name in NAMES if name != "text"]
    torch.testing.assert_close(over_pairs(case, z, pairs=one_versus_rest("text")), torch.stack(versus).mean())


def test_missing_items_take_no_part_whatever_their_rows_hold() -> None:
    z = modalities()
    there = torch.tensor([True] * 5 + [False] * 3)
    z["sound"] = z["sound"].masked_fill(~there[:, None], torch.nan).requires_grad_()
    loss = over_pairs(info_nce, z, pairs=one_versus_rest("text"), present={"sound": there})
    expected = [
        info_nce(z["text"], z["image"]),
        info_nce(z["text"][:5], z["sound"][:5]),
        info_nce(z["text"], z["touch"]),
    ]
    torch.testing.assert_close(loss, torch.stack(expected).mean())
    loss.backward()
    assert z["sound"].grad[:5].isfinite().all()
    assert z["sound"].grad[5:].abs().max() == 0


def test_pairs_that_share_fewer_than_two_items_are_left_out() -> None:
    z, one = modalities(), torch.eye(8, dtype=torch.bool)[0]
    rest = {name: part for name, part in z.items() if name != "sound"}
    torch.testing.assert_close(over_pairs(info_nce, z, present={"sound": one}), over_pairs(info_nce, rest))
    with pytest.raises(ShapeError, match="no two compared modalities share two items; modalities: image, text"):
        over_pairs(info_nce, {"image": z["image"], "text": z["text"]}, present={"text": one})


def test_unknown_modalities_and_wrong_masks_are_refused() -> None:
    z = modalities()
    with pytest.raises(ConfigError, match="unknown modality 'txt'; known: image, text, sound, touch"):
        over_pairs(info_nce, z, pairs=one_versus_rest("txt"))
    with pytest.raises(ConfigError, match="unknown modality 'smell'; known: image, text, sound, touch"):
        over_pairs(info_nce, z, pairs=lambda names: [("image", "smell")])
    with pytest.raises(ConfigError, match="unknown modality 'smell'"):
        over_pairs(info_nce, z, present={"smell": torch.ones(8, dtype=torch.bool)})
    with pytest.raises(ConfigError, match="a pairwise loss needs at least two modalities; got image"):
        over_pairs(info_nce, {"image": z["image"]})
    with pytest.raises(ShapeError, match=r"present\['text'\] must say for each of 8 items whether it is there; got 7"):
        over_pairs(info_nce, z, present={"text": torch.ones(7, dtype=torch.bool)})
