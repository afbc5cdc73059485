"""The real open_clip, in a process of its own: its torchvision would not import beside what other tests need."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = Path(sys.prefix) / "open_clip"  # `make test` installs them there, apart from all others
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PACKAGES.is_dir() and "CI" not in os.environ, reason="needs `make test`"),
]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    places = [ROOT / "tests" / "open_clip", PACKAGES, ROOT, ROOT / "src"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(("name", "form"), [("ViT-B-32", "checkpoint"), ("ViT-B-16-SigLIP", "safetensors")])
def test_features_tokens_pixels_and_logits_are_those_of_the_original(name: str, form: str, tmp_path: Path) -> None:
    done = run(ROOT / "tests" / "open_clip" / "check.py", tmp_path / "model", name, form)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["same_tokens"]
    assert found["pixels"] <= 1 / 255 + 1e-6
    assert max(found["image"], found["text"]) <= 1e-5
    assert found["logits"] <= 1e-3  # of a scale of 14


def test_a_training_changes_the_part_that_it_is_told_to(tmp_path: Path) -> None:
    done = run(ROOT / "tests" / "open_clip" / "start.py", tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    begin = {"image": ("model.visual.",), "heads": ("model.visual.proj", "model.text_projection"), "lora": ("model.",)}
    for part, about in found.items():
        towers = {name for name in about["changed"] if name != "model.logit_scale"}
        assert about["same_names"]
        assert towers
        assert all(name.startswith(begin[part]) for name in towers), part
        assert part != "lora" or all(".mlp." in name and name.endswith("weight") for name in towers)
        assert about["too_long"] == 1  # 16 places hold 14 words between start and end
        assert about["images"] == [9, 8]
        assert (about["moved"] == 0) == (part == "image")
