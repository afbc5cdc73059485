"""Holds models of the real open_clip against what `load_model` makes of their folders; prints what differs as JSON."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tests.encoders.pretrained import save_tokenizer
from tests.encoders.test_pretrained_pairs import IMAGES, TEXTS

import open_clip
from vergence.training import load_model


def save(folder: Path, name: str, *, checkpoint: bool) -> tuple:
    """A model at random in a folder, as the hub has it, or as a training of open_clip leaves it."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    model, _, transform = open_clip.create_model_and_transforms(name, pretrained=None, pretrained_hf=False)
    config = open_clip.get_model_config(name)
    if config["text_cfg"].get("hf_tokenizer_name"):
        save_tokenizer(folder)
    about = {"model_cfg": config, "preprocess_cfg": open_clip.get_model_preprocess_cfg(model)}
    (folder / "open_clip_config.json").write_text(json.dumps(about))
    weights = {key: value.contiguous() for key, value in model.state_dict().items()}
    if checkpoint:
        named = {f"module.{key}": value for key, value in weights.items()}
        torch.save({"epoch": 3, "name": "trial", "state_dict": named}, folder / "epoch_3.pt")
    else:
        save_file(weights, folder / "open_clip_model.safetensors")
    return model.eval(), transform, open_clip.get_tokenizer(f"local-dir:{folder}")


def compare(folder: Path, name: str, *, checkpoint: bool) -> dict:
    """How far features, pixels and logits are from the original's, and whether tokens are the same."""
    original, transform, tokenizer = save(folder, name, checkpoint=checkpoint)
    model = load_model(folder)
    images = [image.convert("RGB") for image in IMAGES.values()]
    pixels, tokens = torch.stack(list(map(transform, images))), tokenizer(TEXTS)
    found = model.preprocessing(torch.from_numpy(np.stack([model.prepared(image) for image in IMAGES.values()])))
    with torch.inference_mode():
        z_image, z_text = original.encode_image(pixels), original.encode_text(tokens)
        unit = [torch.nn.functional.normalize(z) for z in (z_image, z_text)]
        bias = 0 if original.logit_bias is None else original.logit_bias
        logits = original.logit_scale.exp() * unit[0] @ unit[1].T + bias
    own_image, own_text = model.embed_images(list(IMAGES.values())), model.embed_texts(TEXTS)
    own = [torch.nn.functional.normalize(z) for z in (own_image, own_text)]
    own_logits = own[0] @ own[1].T * model.logit_scale + model.logit_bias
    return {
        "pixels": float((found - pixels).abs().max()) * min(model.preprocessing.std),
        "image": float((own_image - z_image).abs().max()),
        "text": float((own_text - z_text).abs().max()),
        "logits": float((own_logits - logits).abs().max()),
        "same_tokens": torch.equal(model.tokenize(TEXTS)["text"], tokens),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    out, name, checkpoint = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "checkpoint"
    print(json.dumps(compare(out, name, checkpoint=checkpoint)))
