"""A captioner learns what captions say, ends at the same bits however often it was stopped, says what is wrong."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from vergence.encoders import beam
from vergence.errors import ConfigError, CorpusError, ShapeError
from vergence.losses import Ramp, best_query, query_penalty
from vergence.random import generator
from vergence.training import (
    Captioner,
    CaptionerConfig,
    CaptionerEpoch,
    CaptionerResult,
    CaptionObjective,
    QueryConfig,
    TrainConfig,
    load_captioner,
    save_captioner,
    train_captioner,
)
from vergence.training.captioner import _Texts

THINGS, COLOURS = ("cube", "ball", "cone"), ("red", "blue", "green", "grey")
MODEL = QueryConfig(dim=32, layers=2, heads=2, queries=3, encoding_size=8, max_length=8)
ALL = CaptionObjective(matching=0.5, bottleneck=Ramp(first=0.0, last=0.1), temperature=0.2)
CONFIG = CaptionerConfig(model=MODEL, objective=ALL, train=TrainConfig(epochs=4, batch_size=8, learning_rate=3e-3))


class StoppedError(Exception):
    """A training was stopped here."""


def scenes(repeats: int = 2) -> tuple[Tensor, list[list[str]]]:
    """Images whose tokens hold a thing and a colour, each with captions that say both, or one."""
    labels = [(thing, colour) for _ in range(repeats) for thing in range(3) for colour in range(4)]
    codes = torch.randn(7, 10, generator=generator(0))
    noise = 0.1 * torch.randn(len(labels), 2, 10, generator=generator(1))
    tokens = torch.stack([torch.stack([codes[thing], codes[3 + colour]]) for thing, colour in labels]) + noise
    said = [(THINGS[thing], COLOURS[colour]) for thing, colour in labels]
    return tokens, [[f"a {colour} {thing}.", f"{thing}, {colour}"] for thing, colour in said]


def stop_after(epoch: int):
    def stop(end: CaptionerEpoch) -> Mapping[str, float]:
        if end.epoch == epoch + 1:
            raise StoppedError
        return {"seen": float(end.losses["total"])}

    return stop


def run(out: Path | None = None, *, stop: int | None = None, resume: bool = False, seed: int = 0) -> CaptionerResult:
    evaluate = stop_after(100 if stop is None else stop)
    config = CaptionerConfig(
        model=QueryConfig(dim=16, heads=2, queries=2, encoding_size=8, max_length=8, dropout=0.1),
        objective=ALL,
        train=CONFIG.train,
    )
    return train_captioner(*scenes(), config, seed=seed, out=out, resume=resume, evaluate=evaluate)


def same_bits(one: Captioner, other: Captioner) -> bool:
    mine, theirs = one.model.state_dict(), other.model.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in mine.items())


def test_a_stopped_training_is_resumed_to_the_same_bits(tmp_path: Path) -> None:
    whole = run()
    for stop in (1, 3):
        with pytest.raises(StoppedError):
            run(tmp_path, stop=stop, resume=True)
    result = run(tmp_path, resume=True)
    assert result.resumed_from == 3
    assert same_bits(result.captioner, whole.captioner)
    pd.testing.assert_frame_equal(result.history, whole.history, check_exact=True)
    assert not same_bits(run(seed=1).captioner, whole.captioner)
    with pytest.raises(ConfigError, match="holds a training with other settings: seed was 0, is 1"):
        run(tmp_path, resume=True, seed=1)
    with pytest.raises(ConfigError, match="holds a training; pass resume=True"):
        run(tmp_path)


def test_a_captioner_learns_to_say_and_to_find_what_images_show(tmp_path: Path) -> None:
    tokens, captions = scenes()
    config = CaptionerConfig(
        model=MODEL, objective=ALL, train=TrainConfig(epochs=60, batch_size=12, learning_rate=5e-3)
    )
    result = train_captioner(tokens, captions, config, image={"kind": "codes"})
    captioner = result.captioner
    assert list(result.history.columns) == [
        *("epoch", "rate", "total", "contrast", "matching", "captioning", "bottleneck", "temperature")
    ]
    for decoder in (None, partial(beam, width=3)):
        said = captioner.caption(tokens) if decoder is None else captioner.caption(tokens, decoder, batch_size=5)
        assert sum(one in several for one, several in zip(said, captions, strict=True)) >= 22
    found = best_query(captioner.encode_images(tokens), captioner.encode_texts([several[0] for several in captions]))
    assert [captions[int(text)] for text in found.argmax(1)] == captions
    ids = captioner.vocabulary.encode([several[0] for several in captions])
    match = captioner.model.match(tokens, ids) > captioner.model.match(tokens, ids.roll(1, 0))
    assert match.float().mean() > 0.9

    save_captioner(tmp_path, captioner, about={"seed": 0})
    same = load_captioner(tmp_path)
    assert same_bits(same, captioner)
    assert (same.image, same.vocabulary) == ({"kind": "codes"}, captioner.vocabulary)
    assert torch.equal(same.encode_images(tokens), captioner.encode_images(tokens))
    assert same.caption(tokens) == captioner.caption(tokens)


def test_terms_of_weight_zero_are_left_out_and_the_bottleneck_is_reported_where_places_are_compared() -> None:
    columns = {}
    for name, objective in {
        "captioning": CaptionObjective(contrast=0),
        "contrast": CaptionObjective(captioning=0),
        "variational": CaptionObjective(captioning=0, bottleneck=0.1, form="variational", learned=False),
    }.items():
        config = CaptionerConfig(model=MODEL, objective=objective, train=TrainConfig(epochs=1, batch_size=8))
        columns[name] = list(train_captioner(*scenes(), config).history.columns[3:-1])
    assert columns == {
        "captioning": ["captioning"],
        "contrast": ["contrast", "bottleneck"],
        "variational": ["contrast", "bottleneck"],
    }


def test_the_bottleneck_brings_best_queries_to_their_texts() -> None:
    tokens, captions = scenes()
    apart = []
    for weight in (0.0, 1.0):
        objective = CaptionObjective(captioning=0, bottleneck=weight)
        train = TrainConfig(epochs=20, batch_size=12, learning_rate=3e-3)
        captioner = train_captioner(
            tokens, captions, CaptionerConfig(model=MODEL, objective=objective, train=train)
        ).captioner
        texts = captioner.encode_texts([several[0] for several in captions])
        apart.append(float(query_penalty(captioner.encode_images(tokens), texts)))
    assert apart[1] < 0.8 * apart[0]


def test_items_that_share_an_image_or_a_caption_are_the_same() -> None:
    captions = [["a cube", "red"], ["a ball", "Red"], ["a cone", "blue"], ["a cone!"]]
    texts = _Texts.of(captions, CONFIG, images=["one", "two", "three", "one"])
    seen = set()
    for seed in range(8):
        drawn = texts.drawn(torch.arange(4), generator(seed))
        said = texts.vocabulary.decode(drawn.ids)
        expected = [[said[text] in map(str.lower, several) for text in range(4)] for several in captions]
        expected[0][3] = expected[3][0] = True
        assert drawn.same.tolist() == expected
        seen |= set(said)
    assert seen == {"a cube", "red", "a ball", "a cone", "blue", "a cone!"}


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        ([["a cube"]] * 23 + [[]], "image 23 has no caption; leave images without captions out"),
        ([["a cube"]] * 23 + [["a ball", " "]], "image 23 has a caption without words, ' '; leave empty captions out"),
        (["a cube"] * 24, "captions of an image must be a list of texts; got the string 'a cube'"),
        ([["cube"]] * 24, "all captions read 'cube' to this vocabulary, so nothing can be contrasted or matched"),
        ([["a cube"], ["a ball"]], "captions must be given of each of 24 images; got those of 2"),
    ],
)
def test_captions_that_cannot_be_used_are_refused_in_one_line(captions: list[list[str]], message: str) -> None:
    with pytest.raises((ConfigError, CorpusError, ShapeError), match=message):
        train_captioner(scenes()[0], captions, CONFIG)


def test_a_vocabulary_of_one_word_can_be_captioned() -> None:
    config = CaptionerConfig(
        model=MODEL,
        objective=CaptionObjective(contrast=0),
        train=TrainConfig(epochs=15, batch_size=8, learning_rate=1e-2),
    )
    tokens = scenes()[0]
    assert set(train_captioner(tokens, [["Cube"]] * len(tokens), config).captioner.caption(tokens)) == {"cube"}


def test_what_is_no_captioner_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="does not exist; name the folder of a run of vergence captioner"):
        load_captioner(tmp_path / "none")
    with pytest.raises(CorpusError, match="holds no captioner"):
        load_captioner(tmp_path)
    result = train_captioner(
        *scenes(), CaptionerConfig(model=MODEL, train=TrainConfig(epochs=1, batch_size=8, learning_rate=1e-3))
    )
    save_captioner(tmp_path, result.captioner)
    (tmp_path / "vocabulary.json").write_text('["<pad>", "<unknown>", "<begin>", "<end>", "cube"]')
    with pytest.raises(
        CorpusError, match=r"holds no whole captioner \(the model is for 14 words; the vocabulary has 5"
    ):
        load_captioner(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": TrainConfig(accumulation=2)}, "train.accumulation must be left out for a captioner"),
        ({"min_count": 0}, "min_count must be >= 1; got 0"),
    ],
)
def test_settings_that_a_captioner_has_not_are_refused(settings, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CaptionerConfig(**settings)
