"""The default set: what it states, what belongs together, what happens to a broken file, and how it is built."""

import io
import json
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scripts import build_emoji

from vergence.data import EncodedImages, load_emoji, split_by_concept
from vergence.errors import CorpusError
from vergence.pairs import Pairs

PACKAGED = Path(str(files("vergence.data"))) / "emoji.parquet"
REMEDY = r"install vergence again, or rebuild the file with: python scripts/build_emoji\.py$"


@pytest.fixture(scope="module")
def emoji() -> Pairs:
    return load_emoji()


def by_caption(emoji: Pairs) -> dict[str, int]:
    return {caption: row for row, caption in enumerate(emoji.texts)}


# -------------------------------------------------------------------------------------------------------- contents
def test_the_file_is_small_and_its_licences_lie_beside_it() -> None:
    assert PACKAGED.stat().st_size <= 9_000_000
    for licence, holder in (("LICENSE-fluent-emoji", "Microsoft"), ("LICENSE-emojibase", "Miles Johnson")):
        text = PACKAGED.with_name(licence).read_text(encoding="utf-8")
        assert "Permission is hereby granted, free of charge" in text
        assert re.search(rf"Copyright \(c\).*{holder}", text)


def test_the_file_names_its_sources_and_how_to_rebuild_it() -> None:
    description = json.loads(pq.read_schema(PACKAGED).metadata[b"vergence"])
    assert description["sources"] == ["@lobehub/fluent-emoji-3d@1.1.0", "emojibase-data@17.0.0"]
    assert description["build"] == "python scripts/build_emoji.py"
    assert set(description["versions"]) == {"pillow", "libwebp", "pyarrow"}


def test_all_parts_have_one_entry_for_each_item(emoji: Pairs) -> None:
    parts = (emoji.images, emoji.texts, emoji.labels, emoji.clusters, emoji.keys)
    assert {len(part) for part in parts} == {len(emoji)} == {3372}
    assert emoji.keys == sorted(emoji.keys)


def test_captions_and_hexcodes_are_unique(emoji: Pairs) -> None:
    assert len(set(emoji.texts)) == len(set(emoji.keys)) == len(emoji)


def test_labels_hold_every_value_of_the_space_and_none_else(emoji: Pairs) -> None:
    assert list(emoji.labels) == list(emoji.space) == ["skin_tone", "gender", "group", "subgroup"]
    for name, factor in emoji.space.items():
        assert set(emoji.labels[name]) - {None} == set(factor.values or ())
    assert emoji.labels[["group", "subgroup"]].notna().all(axis=None)


def test_tones_are_complete_for_every_emoji_that_has_them(emoji: Pairs) -> None:
    assert set(emoji.labels["skin_tone"].value_counts()) == {304}
    assert emoji.space["skin_tone"].values == ("light", "medium-light", "medium", "medium-dark", "dark")


def test_tone_is_stated_where_the_code_points_hold_one_modifier(emoji: Pairs) -> None:
    names = dict(zip(("1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"), emoji.space["skin_tone"].values or (), strict=True))
    for hexcode, tone in zip(emoji.keys, emoji.labels["skin_tone"], strict=True):
        modifiers = {names[code] for code in hexcode.split("-") if code in names}
        assert {tone} - {None} == modifiers


def test_gender_never_contradicts_the_code_points(emoji: Pairs) -> None:
    signs = {"1F468": "man", "2642": "man", "1F469": "woman", "2640": "woman"}
    for hexcode, group, gender in zip(emoji.keys, emoji.labels["group"], emoji.labels["gender"], strict=True):
        signed = {signs[code] for code in hexcode.split("-") if code in signs and group == "people & body"}
        children = {"1F466", "1F467"} & set(hexcode.split("-"))
        if gender is not None:
            assert signed <= {gender}
        elif len(signed) == 1:
            assert children, f"{hexcode} states a gender that the set leaves out"


@pytest.mark.parametrize(
    ("caption", "gender"),
    [
        ("woman farmer", "woman"),
        ("man running: dark skin tone", "man"),
        ("merman", "man"),
        ("women wrestling", "woman"),
        ("old man", "man"),
        ("pregnant woman", "woman"),
        ("couple with heart: man, man", "man"),
        ("woman feeding baby", "woman"),
        ("kiss: woman, man", None),
        ("woman and man holding hands", None),
        ("family: man, boy", None),
        ("boy", None),
        ("princess", None),
        ("person running", None),
        ("farmer", None),
        ("woman’s boot", None),
        ("men’s room", None),
        ("flag: Isle of Man", None),
    ],
)
def test_gender_is_stated_only_for_everyone_depicted(emoji: Pairs, caption: str, gender: str | None) -> None:
    assert emoji.labels.loc[by_caption(emoji)[caption], "gender"] == gender


# ---------------------------------------------------------------------------------------------------- base concepts
@pytest.mark.parametrize(
    "captions",
    [
        ["man", "woman", "person", "man: bald", "woman: red hair", "person: curly hair", "woman: dark skin tone"],
        ["person: beard", "man: beard", "woman: beard", "person: blond hair", "woman: blond hair", "man: white hair"],
        ["boy", "girl", "child", "girl: light skin tone"],
        ["old man", "old woman", "older person"],
        ["prince", "princess", "person with crown"],
        ["Santa Claus", "Mrs. Claus", "Mx Claus", "Santa Claus: dark skin tone"],
        ["mermaid", "merman", "merperson"],
        ["pregnant woman", "pregnant man", "pregnant person"],
        ["woman dancing", "man dancing"],
        ["deaf man", "deaf woman", "deaf person"],
        ["farmer", "man farmer", "woman farmer", "woman farmer: medium-dark skin tone"],
        ["health worker", "man health worker", "woman health worker"],
        ["pilot", "man pilot", "woman pilot"],
        ["detective", "man detective", "woman detective"],
        ["police officer", "woman police officer", "man police officer: light skin tone"],
        ["person running", "man running", "woman running: medium skin tone"],
        ["person in tuxedo", "man in tuxedo", "woman in tuxedo"],
        ["person with veil", "man with veil", "woman with veil"],
        ["person bouncing ball", "man bouncing ball", "woman bouncing ball"],
        ["person feeding baby", "man feeding baby", "woman feeding baby"],
        ["genie", "man genie", "woman genie"],
        ["people wrestling", "men wrestling", "women wrestling"],
        ["people with bunny ears", "men with bunny ears", "women with bunny ears"],
        ["people holding hands", "men holding hands", "women holding hands", "woman and man holding hands"],
        ["kiss", "kiss: woman, man", "kiss: man, man", "kiss: woman, woman, dark skin tone"],
        ["couple with heart", "couple with heart: woman, man", "couple with heart: man, man"],
        ["family", "family: man, woman, girl, boy", "family: woman, boy", "family: man, man, girl, girl"],
        ["left-facing fist", "right-facing fist", "right-facing fist: dark skin tone"],
        ["rightwards pushing hand", "leftwards pushing hand"],
        ["men’s room", "women’s room"],
        ["thumbs up", "thumbs up: light skin tone", "thumbs up: dark skin tone"],
        ["cat face", "grinning cat"],  # one drawing under two names
    ],
)
def test_all_forms_of_a_concept_are_together(emoji: Pairs, captions: list[str]) -> None:
    rows = by_caption(emoji)
    assert len({emoji.clusters[rows[caption]] for caption in captions}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("man", "boy"),
        ("man", "old man"),
        ("child", "baby"),
        ("baby", "baby angel"),
        ("person", "person running"),
        ("person running", "person walking"),
        ("person biking", "person mountain biking"),
        ("farmer", "cook"),
        ("factory worker", "office worker"),
        ("health worker", "construction worker"),
        ("scientist", "technologist"),
        ("person in tuxedo", "person with veil"),
        ("person in manual wheelchair", "person in motorized wheelchair"),
        ("person pouting", "person frowning"),
        ("superhero", "supervillain"),
        ("kiss", "couple with heart"),
        ("kiss", "kiss mark"),
        ("family", "people holding hands"),
        ("women wrestling", "women with bunny ears"),
        ("prince", "crown"),
        ("raised fist", "right-facing fist"),
        ("flag: Norway", "flag: Sweden"),
        ("flag: Isle of Man", "man"),
        ("keycap: 1", "keycap: 2"),
        ("male sign", "female sign"),
        ("red heart", "blue heart"),
        ("snowman", "man"),
    ],
)
def test_different_concepts_are_apart(emoji: Pairs, one: str, other: str) -> None:
    rows = by_caption(emoji)
    assert emoji.clusters[rows[one]] != emoji.clusters[rows[other]]


def test_concepts_are_named_after_no_gender_and_no_tone(emoji: Pairs) -> None:
    people = emoji.clusters[np.flatnonzero(emoji.labels["group"] == "people & body")]
    assert not [name for name in people if re.search(r"\b(wo)?m[ae]n\b|boy|girl|prince|skin tone", name)]


def test_no_test_concept_was_trained_on(emoji: Pairs) -> None:
    splits = split_by_concept(
        emoji.clusters,
        {"train": 0.6, "validation": 0.1, "test": 0.3},
        generator=torch.Generator().manual_seed(0),
        strata=emoji.labels["group"],
    )
    seen: dict[tuple[str, object], str] = {}
    for name, rows in splits.items():
        assert set(emoji.labels["group"].iloc[rows]) == set(emoji.space["group"].values or ())
        for row in rows:
            people = re.sub(r":.*| and man|\b(wo)?m[ae]n\b|\bpe(rson|ople)\b", "", emoji.texts[row]).strip()
            without_tone = re.sub("-(FE0F|1F3F[B-F])", "", emoji.keys[row])
            bare = re.sub("-200D-264[02]", "", without_tone).replace("1F468", "1F9D1").replace("1F469", "1F9D1")
            links = {("hexcode", bare), ("drawing", emoji.images.encoded[row])}
            if emoji.labels["group"].iloc[row] == "people & body":
                links.add(("label", people))
            assert {seen.setdefault(link, name) for link in links} == {name}, emoji.texts[row]


# ---------------------------------------------------------------------------------------------------------- loading
def test_images_are_rgb_on_white(emoji: Pairs) -> None:
    image = emoji.images[by_caption(emoji)["sailboat"]]
    assert (image.size, image.mode) == ((64, 64), "RGB")
    assert min(image.getpixel((0, 0))) > 245


def test_tensor_holds_the_images_in_the_order_asked_for(emoji: Pairs) -> None:
    pixels = emoji.images.tensor([7, 3, 7])
    assert (pixels.dtype, tuple(pixels.shape)) == (torch.uint8, (3, 3, 64, 64))
    for channel_first, row in zip(pixels, [7, 3, 7], strict=True):
        np.testing.assert_array_equal(channel_first.permute(1, 2, 0), np.asarray(emoji.images[row]))
    assert emoji.images[:4].tensor().equal(emoji.images.tensor(range(4)))
    assert emoji.images.tensor([], side=64).shape == (0, 3, 64, 64)


def test_images_are_decoded_only_when_asked_for(emoji: Pairs) -> None:
    images = EncodedImages((emoji.images.encoded[0], b"not an image"))
    assert len(images) == 2
    assert images[0].size == (64, 64)
    with pytest.raises(CorpusError, match=r"cannot decode image 1: .*; " + REMEDY):
        images[1]


@pytest.mark.parametrize(
    ("image_format", "side", "message"),
    [("PNG", 64, "cannot identify image file"), ("WEBP", 65, "it has 65 x 65 pixels instead of 64 x 64")],
)
def test_only_webp_of_the_right_size_is_decoded(image_format: str, side: int, message: str) -> None:
    encoded = io.BytesIO()
    Image.new("RGB", (side, side)).save(encoded, image_format)
    with pytest.raises(CorpusError, match=message):
        EncodedImages((encoded.getvalue(),))[0]


@pytest.mark.parametrize("as_indices", [list, np.array, torch.tensor])
def test_take_selects_every_part_alike(emoji: Pairs, as_indices: type) -> None:
    rows = [3000, 5, 1200]
    taken = emoji.take(as_indices(rows))
    assert len(taken) == 3
    for new, old in enumerate(rows):
        assert taken.texts[new] == emoji.texts[old]
        assert taken.keys[new] == emoji.keys[old]
        assert taken.clusters[new] == emoji.clusters[old]
        assert taken.images[new] == emoji.images[old]
        assert taken.labels.loc[new].tolist() == emoji.labels.loc[old].tolist()


def test_take_accepts_a_condition_and_nothing(emoji: Pairs) -> None:
    dark = emoji.take((emoji.labels["skin_tone"] == "dark").to_numpy())
    assert set(dark.labels["skin_tone"]) == {"dark"}
    assert len(emoji.take([])) == 0


def test_take_refuses_an_index_out_of_range(emoji: Pairs) -> None:
    with pytest.raises(IndexError, match="index 3372 is out of bounds"):
        emoji.take([3372])


@given(kept=st.integers(0, PACKAGED.stat().st_size - 1))
def test_a_truncated_file_gives_one_line_that_names_the_remedy(
    tmp_path_factory: pytest.TempPathFactory, kept: int
) -> None:
    truncated = tmp_path_factory.mktemp("truncated") / "emoji.parquet"
    truncated.write_bytes(PACKAGED.read_bytes()[:kept])
    with pytest.raises(CorpusError, match=r"emoji\.parquet: cannot be read as Parquet: .*; " + REMEDY) as caught:
        load_emoji(truncated)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_in_the_data_is_found(tmp_path: Path) -> None:
    content = bytearray(PACKAGED.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(content)
    with pytest.raises(CorpusError, match=r"damaged\.parquet: cannot be read as Parquet: .*CRC"):
        load_emoji(damaged)


def test_a_missing_file_gives_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"nowhere\.parquet does not exist; " + REMEDY):
        load_emoji(tmp_path / "nowhere.parquet")


def test_another_parquet_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    pd.DataFrame({"label": ["cat"], "image": [b""]}).to_parquet(other)
    with pytest.raises(CorpusError, match=r"not an emoji set: it lacks hexcode, tags, concept, .*; " + REMEDY):
        load_emoji(other)
    pq.write_table(pq.read_table(PACKAGED).slice(0, 2).replace_schema_metadata(None), other)
    with pytest.raises(CorpusError, match="it lacks the description of its factors"):
        load_emoji(other)


def changed(name: str, values: list, kind: pa.DataType | None = None) -> pa.Table:
    """Two rows of the set, one column replaced."""
    table = pq.read_table(PACKAGED).slice(0, 2)
    column = pa.array(values, kind) if kind else pa.array(values)
    return table.set_column(table.column_names.index(name), name, column)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("label", [1, 2], "column label must be string; got int64, 0 of them null"),
        ("label", ["a", None], "column label must be string; got string, 1 of them null"),
        ("group", [None, "symbols"], "column group must be string; got string, 1 of them null"),
        ("tags", ["a", "b"], "column tags must be list<"),
        ("tags", [["a"], [None]], "tags must be texts; some are null"),
        ("image", ["a", "b"], "column image must be binary; got string"),
        ("gender", ["man", "cat"], "unknown gender 'cat'; known: woman, man"),
    ],
)
def test_columns_of_another_type_or_value_are_refused(tmp_path: Path, name: str, values: list, message: str) -> None:
    pq.write_table(changed(name, values), tmp_path / "x.parquet")
    with pytest.raises(CorpusError, match=re.escape(message)) as caught:
        load_emoji(tmp_path / "x.parquet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("said", [b"", b"[]", b"{}", b'{"factors": 3}', b'{"factors": {"gender": ["a"]}}', b"\xff"])
def test_a_description_of_another_form_is_refused(tmp_path: Path, said: bytes) -> None:
    table = pq.read_table(PACKAGED).slice(0, 2).replace_schema_metadata({b"vergence": said})
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(CorpusError, match=r"x\.parquet does not describe its factors \(.+\); " + REMEDY):
        load_emoji(tmp_path / "x.parquet")


def test_a_set_without_rows_and_what_is_no_file_are_refused(tmp_path: Path) -> None:
    pq.write_table(pq.read_table(PACKAGED).slice(0, 0), tmp_path / "empty.parquet")
    (tmp_path / "text.parquet").write_text("label,tags\n")
    for path, message in {
        tmp_path / "empty.parquet": "holds no rows",
        tmp_path / "text.parquet": "cannot be read as Parquet",
        tmp_path: "is no file",
        tmp_path / ("a" * 300): "does not exist",
    }.items():
        with pytest.raises(CorpusError, match=f"{message}.*{REMEDY}"):
            load_emoji(path)


# --------------------------------------------------------------------------------------------------------- building
@pytest.fixture
def packages(tmp_path: Path) -> tuple[Path, Path]:
    """Two unpacked packages with a woman in two tones, a man and a sign, of which one drawing has two names."""
    fluent, emojibase = tmp_path / "fluent", tmp_path / "emojibase"
    for folder in (fluent / "assets", emojibase / "en", emojibase / "meta"):
        folder.mkdir(parents=True)
    colours = {"1f469": "red", "1f469-1f3fb": "pink", "1f469-1f3ff": "brown", "1f468": "blue"}
    colours |= {"26a7": "black", "26a7-fe0f": "green", "1f441-fe0f": "white"}
    for name, colour in colours.items():
        Image.new("RGBA", (256, 264), colour).save(fluent / f"assets/{name}.webp", lossless=True)
    tones = [
        {"hexcode": f"1F469-{code}", "label": f"woman: {tone} skin tone", "group": 1, "subgroup": 23, "tone": number}
        for code, tone, number in (("1F3FB", "light", 1), ("1F3FF", "dark", 5))
    ]
    data = [
        {"hexcode": "1F469", "label": "woman", "tags": ["adult"], "group": 1, "subgroup": 23, "skins": tones},
        {"hexcode": "1F468", "label": "man", "tags": [], "group": 1, "subgroup": 23},
        {"hexcode": "26A7-FE0F", "label": "transgender symbol", "tags": [], "group": 8, "subgroup": 86},
        {"hexcode": "1F600", "label": "grinning face", "tags": [], "group": 0, "subgroup": 0},
    ]
    groups = {
        "groups": {"0": "smileys-emotion", "1": "people-body", "8": "symbols"},
        "subgroups": {"0": "face-smiling", "23": "person", "86": "gender"},
    }
    titles = {"people-body": "people & body", "symbols": "symbols", "smileys-emotion": "smileys & emotion"}
    messages = {"groups": [{"key": key, "message": title} for key, title in titles.items()]}
    (emojibase / "en/data.json").write_text(json.dumps(data), encoding="utf-8")
    (emojibase / "en/messages.json").write_text(json.dumps(messages), encoding="utf-8")
    (emojibase / "meta/groups.json").write_text(json.dumps(groups), encoding="utf-8")
    return fluent, emojibase


def test_a_rebuild_gives_the_same_bytes(packages: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("first", "second"):
        build_emoji.write(build_emoji.build(*packages), tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_a_built_set_joins_drawings_and_metadata(packages: tuple[Path, Path], tmp_path: Path) -> None:
    build_emoji.write(build_emoji.build(*packages), tmp_path / "small.parquet")
    small = load_emoji(tmp_path / "small.parquet")
    assert small.keys == ["1F468", "1F469", "1F469-1F3FB", "1F469-1F3FF", "26A7-FE0F"]
    assert small.labels["skin_tone"].tolist() == [None, None, "light", "dark", None]
    assert small.labels["gender"].tolist() == ["man", "woman", "woman", "woman", None]
    assert small.space["group"].values == ("people & body", "symbols")
    assert small.clusters.tolist() == ["person"] * 4 + ["transgender symbol"]
    red, green, _ = small.images[4].getpixel((32, 32))
    assert green > 100 > red, "the drawing named exactly as emojibase names it was not preferred"


def test_another_tarball_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    tarball = tmp_path / "other.tgz"
    tarball.write_bytes(b"something else")
    with pytest.raises(SystemExit, match=r"other\.tgz is not emojibase-data@17\.0\.0: its digest is sha512-"):
        build_emoji.unpack(tarball, build_emoji.EMOJIBASE, tmp_path)
    with pytest.raises(SystemExit, match=r"nothing\.tgz does not exist; get it with: npm pack emojibase-data@17\.0\.0"):
        build_emoji.unpack(tmp_path / "nothing.tgz", build_emoji.EMOJIBASE, tmp_path)


def test_a_missing_npm_is_said_clearly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"npm is needed to fetch emojibase-data@17\.0\.0 .*pass --fluent"):
        build_emoji.fetch(build_emoji.EMOJIBASE, tmp_path)


def test_the_packaged_file_has_the_schema_that_the_script_writes() -> None:
    assert pq.read_schema(PACKAGED).remove_metadata() == build_emoji.SCHEMA
    assert pa.types.is_binary(build_emoji.SCHEMA.field("image").type)


def test_the_packaged_concepts_are_those_of_the_script(emoji: Pairs) -> None:
    records = [{"hexcode": code, "label": label} for code, label in zip(emoji.keys, emoji.texts, strict=True)]
    assert build_emoji.concepts(records, emoji.images.encoded) == emoji.clusters.tolist()
