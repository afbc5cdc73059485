"""Trains parts of a small model of the real open_clip, as `load_model` reads it; prints what changed as JSON."""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tests.encoders.test_pretrained_pairs import IMAGES, TEXTS

import open_clip
from vergence.training import RunConfig, load_model, run_training
from vergence.training.mapping import from_mapping

SMALL = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


def train(out: Path, model: Path, part: str) -> dict:
    """A run that starts from the model, and which of its tensors differ afterwards."""
    start = {"model": str(model), "part": part}
    data = {"policy": "omit", "items": 32, "validation": 0.25}
    settings = {"data": data, "start": start, "train": {"epochs": 1, "batch_size": 8}}
    run_training(from_mapping(RunConfig, settings), out=out, present="refuse")
    one, other = load_model(model), load_model(out)
    before, after = one.state_dict(), other.state_dict()
    return {
        "same_names": before.keys() == after.keys(),
        "changed": sorted(name for name in before if not torch.equal(before[name], after[name])),
        "too_long": one.too_long(["dog " * 13, "dog " * 14, "dog " * 15, "a !"]),
        "moved": float((one.embed_texts(TEXTS) - other.embed_texts(TEXTS)).abs().max()),
        "images": list(other.embed_images(list(IMAGES.values())).shape),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    (folder / "model").mkdir(parents=True)
    torch.manual_seed(0)
    made = open_clip.CLIP(**SMALL)
    about = {"model_cfg": SMALL, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (folder / "model" / "open_clip_config.json").write_text(json.dumps(about))
    save_file(
        {name: one.contiguous() for name, one in made.state_dict().items()},
        folder / "model" / "open_clip_model.safetensors",
    )
    print(json.dumps({part: train(folder / part, folder / "model", part) for part in ("image", "heads", "lora")}))
