"""How often labels by pixels are wrong, on images whose answer is known; and images a second.

Known answers, which the rules were not chosen on: every second colour of the xkcd survey and the CSS4 colours whose
name ends with a basic term, drawn flat as a disc or a square, large or small, on white, transparent, grey or blue, and
encoded as PNG, JPEG or WebP; every second of the embedded drawings whose label names the colour of all of it; rendered
sets, where the answer is the name of the paint. A rate is of the images that got a label. `python -m
benchmarks.pixel_labels` puts the rates of the flat images into the package, as `vergence label` hands them on.
"""

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from colorsys import hsv_to_rgb
from itertools import product
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from benchmarks.measure import Case, Run, Side
from vergence.data import load_emoji
from vergence.data.color_names import BASIC_TERMS, color_table, color_terms, places
from vergence.data.pixels import PIXEL_FACTORS, pixel_labels
from vergence.decoding import decode_layered
from vergence.random import generator
from vergence.render import render_scenes
from vergence.scenes import scenes
from vergence.views.palettes import palette_colors

SEED = 0
PACKAGES = ("numpy", "pillow", "scikit-image")
SHIPPED = Path(__file__).parents[1] / "src" / "vergence" / "data" / "pixel-errors.json"
_RESULT = Path(__file__).parent / "results" / "pixel_labels.json"
_FLAT = "flat images of named colours"
_SUBJECT = ("color", "lightness", "chroma")
_VARIANTS = tuple(
    product(("disc", "square"), (12, 28), ("white", None, (128, 128, 128), (60, 90, 200)), ("PNG", "JPEG", "WEBP"))
)
_PER_COLOR = 4
# Drawings in which all that is drawn has the colour that the label names.
_CERTAIN = (
    r"(?:large |small )?({}) (?:heart|circle|(?:(?:large|medium|small|medium-small) )?square|diamond|apple|book"
    r"|envelope|question mark|exclamation mark|triangle pointed (?:up|down))$"
)


def cases() -> Iterator[Case]:
    """Speed at two sizes, against the bare conversion of every pixel; then errors."""
    for side in (64, 128):
        yield Case(
            name=f"color, lightness and chroma of 1,000 drawings of {side} pixels, against their conversion to CIELAB",
            ours=Side(make=labelled, sizes={"side": side, "n": 1000}, small={"n": 4}),
            peer=Side(make=converted, sizes={"side": side, "n": 1000}, small={"n": 4}),
            items=1000,
            repeats=2,
            rounds=1,
        )
    for name, make in ((_FLAT, flat), ("embedded drawings", drawings), ("rendered sets", rendered)):
        yield Case(name=name, ours=Side(make=make, sizes={"n": 400}, small={"n": 2}), repeats=1, rounds=1)


def _drawn(side: int, n: int) -> list[Image.Image]:
    return [image.resize((side, side)) for image in load_emoji().images[:n]]


def labelled(*, side: int, n: int) -> Run:
    """Our side: one thread; also by the processor's time, which other work on the machine does not change."""
    images = _drawn(side, n)

    def run() -> dict[str, int]:
        start = process_time()
        pixel_labels(images, _SUBJECT)
        return {"images per second of the processor": round(n / (process_time() - start))}

    return run


def converted(*, side: int, n: int) -> Run:
    """The peer: scikit-image converts each image, and nothing is made of it."""
    from skimage.color import rgb2lab

    images = [np.asarray(image) for image in _drawn(side, n)]

    def run() -> dict[str, int]:
        start = process_time()
        for image in images:
            rgb2lab(image)
        return {"images per second of the processor": round(n / (process_time() - start))}

    return run


def known_colors() -> list[tuple[str, tuple[float, float, float], str]]:
    """Name, sRGB and term of the colours that test the rules."""
    survey = list(_ending(palette_colors("xkcd")))
    return survey[1::2] + list(_ending(palette_colors("css4")))


def _ending(palette: Mapping[str, tuple[float, float, float]]) -> Iterator[tuple[str, tuple[float, float, float], str]]:
    """The colours whose name ends with a basic term and holds no other: of xkcd by words, of CSS4 by letters."""
    terms = "|".join(BASIC_TERMS)
    for name, color in palette.items():
        plain = name.replace("gray", "grey")
        if (found := re.search(rf"({terms})$", plain)) and len(re.findall(terms, plain)) == 1:
            words = re.split(r"[\s/-]", plain)
            if len(words) == 1 or words[-1] == found[1]:
                yield name, color, found[1]


def flat(*, n: int) -> Run:
    """Confusion rates of color, lightness and chroma, and shares without a label; `n` colours at most."""
    rng = np.random.default_rng(SEED)
    images, truth = [], []
    for _, color, term in known_colors()[:n]:
        pixel = tuple(round(255 * channel) for channel in color)
        lightness = color_table().lab[places(np.array(pixel, dtype=np.uint8)), 0]
        for variant in rng.permutation(len(_VARIANTS))[:_PER_COLOR]:
            images.append(_painted(pixel, *_VARIANTS[variant]))
            truth.append(
                {
                    "color": term,
                    "lightness": "dark" if lightness < 40 else "light" if lightness > 70 else "medium",
                    "chroma": "grey" if term in BASIC_TERMS[:3] else "colour",
                }
            )

    def run() -> dict[str, Any]:
        return _compared(pd.DataFrame(truth), pixel_labels(images, _SUBJECT))

    return run


def _painted(color: Sequence[int], form: str, radius: int, ground: Any, kind: str) -> Image.Image:
    """A form of a colour, with soft edges, as a decoder gives it back."""
    large = Image.new("L", (256, 256))
    draw = getattr(ImageDraw.Draw(large), "ellipse" if form == "disc" else "rectangle")
    draw((128 - 4 * radius, 128 - 4 * radius, 128 + 4 * radius, 128 + 4 * radius), fill=255)
    mask = large.resize((64, 64), Image.Resampling.BOX)
    image = Image.new("RGB", (64, 64), color)
    if ground is None and kind != "JPEG":
        image.putalpha(mask)
    else:
        image = Image.composite(image, Image.new("RGB", (64, 64), ground or "white"), mask)
    file = io.BytesIO()
    image.save(file, kind, **({} if kind == "PNG" else {"quality": 60}))
    return decode_layered(file.getvalue())


def named_drawings() -> list[tuple[int, str]]:
    """Rows of the drawings whose label names the colour of all that is drawn, with it."""
    terms = "|".join(BASIC_TERMS)
    pattern = re.compile(_CERTAIN.format(terms))
    texts = load_emoji().texts
    return [(row, found[1]) for row, text in enumerate(texts) if (found := pattern.match(text))]


def drawings(*, n: int) -> Run:
    """The drawings that the rules were chosen on, and those that they were not; at most `n` of each."""
    images = load_emoji().images

    def run() -> dict[str, Any]:
        result = {}
        for name, half in (("chosen on", 0), ("test", 1)):
            rows = [(row, term) for row, term in named_drawings() if row % 2 == half][:n]
            labels = pixel_labels([images[row] for row, _ in rows], ["color"])
            result[name] = _compared(pd.DataFrame({"color": [term for _, term in rows]}), labels)
        return result

    return run


def rendered(*, n: int) -> Run:
    """By set, color against the name of the object's paint: shares right, wrong and without a label."""
    sets = {name: _rendered(name, n) for name in ("shapes3d-like", "mpi3d-like", "mpi3d-real-like", "causal3dident")}

    def run() -> dict[str, Any]:
        result = {}
        for name, (images, terms) in sets.items():
            labels = pixel_labels(images, ["color"])["color"]
            given, right = labels.notna(), labels == pd.Series(terms)
            shares = {"right": right, "wrong": given & ~right, "no label": ~given}
            result[name] = {"images": len(labels), **{key: round(float(of.mean()), 3) for key, of in shares.items()}}
        return result

    return run


def _rendered(name: str, n: int) -> tuple[list[Image.Image], list[str]]:
    labels = scenes(name).draw(4 * n, generator=generator(SEED))
    if name.startswith("mpi3d"):
        terms = labels["color"].astype(str).tolist()
    else:
        paint = (0.9, 1.0) if name == "shapes3d-like" else (0.85, 0.95)  # saturation and value
        terms = _terms(hsv_to_rgb(float(hue), *paint) for hue in labels["object_hue"])
    kept = [row for row, term in enumerate(terms) if term in BASIC_TERMS][:n]
    images = render_scenes(name, labels.iloc[kept], side=64)
    return [Image.fromarray(image) for image in images], [terms[row] for row in kept]


def _terms(colors: Iterable[tuple[float, float, float]]) -> list[str]:
    pixels = np.array([[round(255 * channel) for channel in color] for color in colors], dtype=np.uint8)
    return [(*BASIC_TERMS, "")[term] for term in color_terms(color_table().lab[places(pixels)]).tolist()]


def _compared(truth: pd.DataFrame, labels: pd.DataFrame) -> dict[str, Any]:
    """By factor: images, share without a label, share of labels that are right, confusion rates."""
    result = {}
    for name in truth:
        given = labels[name].notna()
        rates = pd.crosstab(truth[name][given], labels[name][given], normalize="index").round(4)
        known = [value for value in PIXEL_FACTORS[name] if value in rates.index]
        result[name] = {
            "images": len(truth),
            "no label": round(float(1 - given.mean()), 4),
            "right": round(float((truth[name] == labels[name])[given].mean()), 4),
            "by value": {value: int((truth[name] == value).sum()) for value in known},
            "no label by value": {value: round(float(1 - given[truth[name] == value].mean()), 3) for value in known},
            "confusion": {value: {key: rate for key, rate in rates.loc[value].items() if rate} for value in known},
        }
    return result


def shipped_errors(result: Mapping[str, Any]) -> dict[str, Any]:
    """The rates of a result as `vergence audit --detector-errors` reads them; rows sum to 1 exactly."""
    found = next(case["ours"]["value"] for case in result["cases"] if case["name"] == _FLAT)
    return {name: {value: _whole(row) for value, row in found[name]["confusion"].items()} for name in _SUBJECT}


def _whole(row: Mapping[str, float]) -> dict[str, float]:
    total = sum(row.values())
    return {label: round(rate / total, 6) for label, rate in row.items()}


if __name__ == "__main__":
    SHIPPED.write_text(json.dumps(shipped_errors(json.loads(_RESULT.read_text())), indent=1) + "\n")
