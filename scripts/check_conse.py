"""Check the ConSE model: what its classifier takes photographs for, and which drawings their labels find.

    vergence model conse --out conse
    python scripts/check_conse.py conse --out docs/results/awareness-conse/checks.json

Photographs are those that scikit-image, scikit-learn and Matplotlib bring along; what counts as right was chosen with
answers of the classifier at hand. Drawings are 701 of the embedded set, each of another concept, texts their labels.
"""

import argparse
import json
import shlex
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from vergence.data import load_emoji
from vergence.encoders import ConSEPair
from vergence.files import write_json
from vergence.metrics.scale import unit
from vergence.training import load_model

PHOTOGRAPHS = {
    ("skimage", "data/chelsea.png"): ("tabby", "tiger cat", "Egyptian cat"),
    ("skimage", "data/coffee.png"): ("espresso", "cup", "coffee mug"),
    ("skimage", "data/rocket.jpg"): ("missile", "projectile", "space shuttle"),
    ("skimage", "data/motorcycle_left.png"): ("moped", "motor scooter"),
    ("skimage", "data/astronaut.png"): ("space shuttle",),
    ("sklearn", "datasets/images/china.jpg"): ("palace",),
    ("sklearn", "datasets/images/flower.jpg"): ("daisy",),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"): ("military uniform",),
}
DRAWINGS, SEED = 701, 0


def photographs(model: ConSEPair) -> list[dict]:
    """What the classifier takes each for."""
    found = []
    for (package, name), right in PHOTOGRAPHS.items():
        pixels = model.prepared(Path(str(files(package) / name)))
        with torch.inference_mode():
            scaled = model.preprocessing(torch.from_numpy(pixels[None].copy()))
            probability, classes = model.model.classifier(scaled).softmax(1)[0].topk(5)
        names = [model.names[k].split(",")[0] for k in classes.tolist()]
        said = {name: round(p, 3) for name, p in zip(names, probability.tolist(), strict=True)}
        found.append(
            {"image": Path(name).name, "said": said, "top_1": names[0] in right, "top_5": bool({*names} & {*right})}
        )
    return found


def drawings(model: ConSEPair) -> dict:
    """Retrieval between drawings and their labels, all of them candidates."""
    emoji = load_emoji()
    _, first = np.unique(emoji.clusters, return_index=True)
    rows = np.sort(np.random.default_rng(SEED).permutation(first)[:DRAWINGS])
    z_image = unit(model.embed_images([emoji.images[row] for row in rows]))
    z_text = unit(model.embed_texts([emoji.texts[row] for row in rows]))
    similarity = z_image @ z_text.T
    right = similarity.diagonal()
    return {
        "drawings": len(rows),
        "seed": SEED,
        "image_to_text_recall_at_1": float((similarity.argmax(1) == torch.arange(len(rows))).float().mean()),
        "text_to_image_recall_at_1": float((similarity.argmax(0) == torch.arange(len(rows))).float().mean()),
        "image_to_text_recall_at_5": float(((similarity > right[:, None]).sum(1) < 5).float().mean()),
        "text_to_image_recall_at_5": float(((similarity > right[None]).sum(0) < 5).float().mean()),
        "chance_at_1": 1 / len(rows),
    }


def main() -> None:
    """Check, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    model = load_model(given.model)
    found = {
        "command": shlex.join(["python", "scripts/check_conse.py", *sys.argv[1:]]),
        "versions": {name: version(name) for name in ("torch", "transformers", "vergence")},
        "photographs": photographs(model),
        "drawings": drawings(model),
    }
    write_json(given.out, found)
    print(json.dumps(found["drawings"], indent=1))


if __name__ == "__main__":
    main()
