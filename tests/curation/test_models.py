from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.encoders.pretrained import save_tokenizer

from vergence.cli.main import main
from vergence.corpus import Concept, Group, Lexicon, Matcher
from vergence.curation import Columns, Order, curate, make_plan, target_of, undo
from vergence.errors import ConfigError, CorpusError

HUES = Group("color", tuple(Concept(hue) for hue in ("red", "blue", "orange", "hot")))
ANIMALS = Group(
    "animal", (Concept("dog", ("dog",), ("hot dog",), "noun"), Concept("cat"), Concept("red panda", (), (), "noun"))
)
LEXICON = Lexicon("things", (HUES, Group("size", (Concept("big"),)), ANIMALS), negation=("no",))
NOUNS = frozenset(["cup", "coffee", "table", "CUP", "Cup", "hour", "apple", "panda", "dog", "shirt", "כוס"])
PLACED = {
    "a cup on a table": ("red", "a red cup on a table"),
    "an hour, a cup": ("red", "a red hour, a cup"),
    "a coffee cup": ("orange", "an orange coffee cup"),
    "Cup on a table": ("red", "Red cup on a table"),
    "Cup": ("blue", "Blue cup"),
    "A cup": ("orange", "An orange cup"),
    "A CUP": ("orange", "AN ORANGE CUP"),
    "(cup) é": ("red", "(red cup) é"),
    "an\ncup": ("red", "an\nred cup"),
    "❤️ cup": ("red", "❤️ red cup"),
    "a T-shirt": ("red", "a T-shirt, red"),
    "no cup": ("red", "no cup, red"),
    "a panda": ("red", "a panda, red"),
    "a dog": ("hot", "a dog, hot"),
    "it is nice": ("red", "it is nice, red"),
    '<b class="x">cup</b>': ("red", '<b class="x">cup</b>, red'),
    "כוס": ("red", "red כוס"),
}


def tagged(texts: Sequence[str]) -> list[list[tuple[int, int, str]]]:
    """Words between white space and signs; nouns are listed above."""
    import re

    return [
        [(m.start(), m.end(), "NOUN" if m[0] in NOUNS else "X") for m in re.finditer(r"\w+|[^\w\s]", text)]
        for text in texts
    ]


def corpus(tmp_path: Path, texts: Sequence[str], colors: Sequence[str | None] = ()) -> Order:
    keys = [str(row) for row in range(len(texts))]
    pq.write_table(pa.table({"key": keys, "caption": list(texts)}), tmp_path / "in.parquet")
    if colors:
        pq.write_table(pa.table({"key": keys, "color": colors}), tmp_path / "labels.parquet")
    return Order(
        paths=(str(tmp_path / "in.parquet"),), lexicon=LEXICON, columns=Columns(key="key"),
        target=target_of({"faithful": ["color"]} if colors else {"omit": ["color"]}, LEXICON),
        labels=str(tmp_path / "labels.parquet") if colors else None,
    )  # fmt: skip


def carried_out(tmp_path: Path, order: Order) -> tuple[list[str], object]:
    done = curate(order, make_plan(order), tmp_path / "out")
    after = pq.read_table(tmp_path / "out" / "captions" / "in.parquet")["caption"].to_pylist()
    undo(tmp_path / "out", tmp_path / "back")
    assert (tmp_path / "back" / "captions" / "in.parquet").read_bytes() == (tmp_path / "in.parquet").read_bytes()
    return after, done.tally


def with_(order: Order, **models: object) -> Order:
    from dataclasses import replace

    return replace(order, **models)


def test_a_tagger_puts_what_is_missing_before_its_noun_or_else_at_the_end(tmp_path: Path) -> None:
    order = corpus(tmp_path, list(PLACED), [color for color, _ in PLACED.values()])
    after, tally = carried_out(tmp_path, with_(order, tagger=tagged))
    assert after == [text for _, text in PLACED.values()]
    assert dict(tally.edits) == {("color", "insert"): len(PLACED)}
    said = Matcher(LEXICON).mentions(after).sets()
    places = {concept.name: place for place, concept in enumerate(LEXICON.concepts)}
    assert all(places[color] in found for (color, _), found in zip(PLACED.values(), said, strict=True))


def test_a_template_stays_the_place_that_it_names(tmp_path: Path) -> None:
    order = corpus(tmp_path, ["a cup"], ["red"])
    target = target_of({"insert": ["color"], "templates": {"color": " in {value}"}}, LEXICON)
    assert carried_out(tmp_path, with_(order, target=target, tagger=tagged))[0] == ["a cup in red"]


REWRITES = {
    "it is red": ("it is nice", "accepted"),
    "The red in the picture, big": ("\n'The picture, big'\nmore", "accepted"),
    "a red-haired dog": ("a dog with red hair", "it still mentions what was to go"),
    "they are red, dog": ("they are", "it drops a factor that was not asked for"),
    "she is red": ("she is big", "it adds a factor that was not asked for"),
    "the red of a dog": ("the cat", "it changes a factor that was not asked for"),
    "we are red": (" …", "it holds no words"),
    "you are red": ("you are " + "very " * 40, "it is much longer than the caption"),
    "I am red": ("I am no dog", "it denies what the caption does not deny"),
}


def test_a_writer_is_believed_only_as_far_as_the_audit_goes(tmp_path: Path) -> None:
    prompts: list[str] = []

    def writer(asked: Sequence[str]) -> list[str]:
        prompts.extend(asked)
        return [next(new for old, (new, _) in REWRITES.items() if f"Caption: {old}\n" in prompt) for prompt in asked]

    texts = [*REWRITES, "a red cup", "red"]
    after, tally = carried_out(tmp_path, with_(corpus(tmp_path, texts), writer=writer))
    assert after == [
        "it is nice",
        "The picture, big",
        *(old for old, (_, why) in REWRITES.items() if why != "accepted"),
        "a cup",
        "red",
    ]
    assert dict(tally.rewrites) == {"accepted": 2} | {why: 1 for _, why in REWRITES.values() if why != "accepted"}
    assert tally.edits["color", "rewrite"] == 2
    assert sum(tally.refused.values()) == len(REWRITES) - 2 + 1
    assert len(prompts) == len(REWRITES)
    assert "it says nothing about the color (red)" in prompts[0]
    with pytest.raises(ConfigError, match="the prompt must hold"):
        make_plan(with_(corpus(tmp_path, texts), writer=writer, prompt="{caption}"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tagger and a writer of random weights, with the words that captions need."""
    transformers = pytest.importorskip("transformers")
    import torch

    root = tmp_path_factory.mktemp("models")
    words = ["a", "an", "cup", "on", "table", "it", "is", "red", "nice", "rewrite", "the", "caption"]
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    labels = {0: "NOUN", 1: "DET"}
    tagger = transformers.BertConfig(
        vocab_size=save_tokenizer(root / "tagger", words=words), id2label=labels, label2id={"NOUN": 0, "DET": 1}, **size
    )
    model = transformers.BertForTokenClassification(tagger)
    torch.nn.init.zeros_(model.classifier.weight)  # every word is a noun
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor([1.0, 0.0]))
    model.save_pretrained(root / "tagger")
    writer = transformers.LlamaConfig(vocab_size=save_tokenizer(root / "writer", words=words), **size)
    transformers.LlamaForCausalLM(writer).save_pretrained(root / "writer")
    return root


@pytest.mark.slow
def test_models_in_folders_are_used_and_the_wrong_kind_is_refused(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = corpus(tmp_path, ["table cup", "it is nice"], ["red", None])
    assert carried_out(tmp_path, with_(order, tagger=str(folders / "tagger")))[0] == ["red table cup", "it is nice"]
    (tmp_path / "lexicon.yaml").write_text(LEXICON.to_yaml())
    (tmp_path / "target.yaml").write_text("omit: [color]\n")
    pq.write_table(pa.table({"caption": ["it is red", "a red cup"]}), tmp_path / "in.parquet")
    command = [
        "curate", str(tmp_path / "in.parquet"), "--lexicon", str(tmp_path / "lexicon.yaml"),
        "--target", str(tmp_path / "target.yaml"), "--out",
    ]  # fmt: skip
    assert main([*command, str(tmp_path / "written"), "--rewriter", str(folders / "writer")]) == 0
    said = capsys.readouterr().out
    assert "written anew by the model: 0 captions, taken" in said
    assert "written anew by the model: 1 captions, refused: it " in said
    assert "written anew by the model, refused" in (tmp_path / "written" / "page.html").read_text()
    assert main([*command, str(tmp_path / "other"), "--rewriter", str(folders / "tagger")]) == 2
    assert "holds BertForTokenClassification; needed is one of *ForCausalLM" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "other"), "--tagger", str(tmp_path)]) == 2
    assert "holds no config.json" in capsys.readouterr().err
    with pytest.raises(CorpusError, match="holds LlamaForCausalLM"):
        make_plan(with_(order, tagger=str(folders / "writer")))
