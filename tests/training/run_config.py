"""A configuration that trains in a second."""

from pathlib import Path
from typing import Any

import yaml

SMALL: dict[str, Any] = {
    "seed": 2,
    "data": {"policy": "omit", "items": 96, "side": 16, "validation": 0.2},
    "encoder": {
        "dim": 4,
        "image": {"settings": {"widths": [4, 8], "hidden": 8}},
        "text": {"settings": {"width": 8, "hidden": 8}},
    },
    "objective": {
        "contrast": {"loss": "info_nce", "settings": {"temperature": 0.2}, "learn": ["temperature"]},
        "bottleneck": {"loss": "alignment_penalty", "weight": {"first": 0.0, "last": 0.1}},
    },
    "train": {"epochs": 2, "batch_size": 16},
}


def written(folder: Path, content: dict[str, Any]) -> str:
    """Write a configuration; return its path."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)
