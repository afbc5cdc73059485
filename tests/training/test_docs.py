"""docs/losses.md names what there is: objectives, encoders, their settings; and its configuration is one."""

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from vergence import losses
from vergence.cli.main import main
from vergence.training import LOSSES, RunConfig
from vergence.training.mapping import check_keys, from_mapping
from vergence.training.towers import HEADS, IMAGE_ENCODERS, TEXT_ENCODERS, setting_names

PAGE = (Path(__file__).parents[2] / "docs" / "losses.md").read_text()
ROWS = {
    re.findall("`(.+?)`", cells[1])[0]: cells
    for cells in (line.split("|") for line in PAGE.splitlines())
    if "`" in "".join(cells[1:2])
}
OBJECTIVES = {
    name: fn
    for name, fn in ((name, getattr(losses, name)) for name in losses.__all__)
    if inspect.isfunction(fn) and list(inspect.signature(fn).parameters)[:2] == ["z_image", "z_text"]
}


def test_every_objective_has_a_row_that_says_which_forms_it_has() -> None:
    for name, fn in OBJECTIVES.items():
        forms = {form.strip() for form in ROWS[name][5].split(",")}
        blockwise = {"blockwise"} if "block_size" in inspect.signature(fn).parameters else set()
        assert forms == {"plain"} | blockwise | ({"train"} if name in LOSSES else set()), name
    assert set(LOSSES) <= set(OBJECTIVES)


@pytest.mark.parametrize("kinds", [IMAGE_ENCODERS, TEXT_ENCODERS, HEADS])
def test_every_encoder_is_named_with_every_setting(kinds: Mapping[str, Callable[..., Any]]) -> None:
    for kind, make in kinds.items():
        rows = [line for line in PAGE.splitlines() if f"`{kind}`" in [*line.split("|"), ""][1]]
        assert any(set(setting_names(make)) <= set(re.findall(r"`(\w+)`", row)) for row in rows), kind


def test_its_configuration_is_one() -> None:
    content = yaml.safe_load(re.search("```yaml\n(.+?)```", PAGE, re.DOTALL)[1])
    check_keys(RunConfig, content)
    assert from_mapping(RunConfig, content).to_mapping()["encoder"]["image"]["kind"] == "vit"
    for line in re.findall("^    image: (.+)$", PAGE, re.MULTILINE):
        from_mapping(RunConfig, {"encoder": {"image": yaml.safe_load(line)}})


@pytest.mark.slow
def test_its_configuration_trains(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(re.search("```yaml\n(.+?)```", PAGE, re.DOTALL)[1])
    assert main(["train", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "out")]) == 0
