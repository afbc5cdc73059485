"""SVG files that nobody vouches for: parsed within limits, drawn on white, and nothing outside of them is ever opened.

A file may name others: external entities, style sheets, pictures by path or address, a document that it is linked to.
None of these survives: the file is parsed here, and what is drawn is what was understood, written anew without them.
A module of its own, so that processes that draw need not import torch.
"""

import io
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder, tostring
from xml.parsers import expat

from PIL import Image

from vergence.errors import CorpusError, MissingExtraError

_NAMESPACE = "http://www.w3.org/2000/svg"
_MOST = 1 << 22  # bytes of a file
_DEEPEST = 256  # elements within each other
_LONGEST = 1000  # characters that an entity may stand for
_FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSansMono")


class Drawing(NamedTuple):
    """What an SVG file shows and says.

    Args:
        image: A PNG file, square, RGB, on white.
        said: What its RDF metadata state of the work, by field of Dublin Core or Creative Commons ("title", "subject",
            "license"): texts with spaces run together, the items of a list one by one, though empty.
        outside: How many pictures it names that are not in it, and so not in the image.
    """

    image: bytes
    said: dict[str, list[str]]
    outside: int


def read_svg(data: bytes, side: int) -> Drawing:
    """Read an SVG file; best in a process of its own (`vergence.guarded`), which bounds time and memory.

    Args:
        data: The file.
        side: Pixels of a side of the image.

    Raises:
        CorpusError: If it cannot be parsed or drawn (see `parse_svg`, `draw_svg`), or shows nothing; the reason.
        MissingExtraError: If the package that draws is not installed.

    Example:
        >>> work = "<Work><title>Dot</title><subject><Bag><li>round</li><li/></Bag></subject></Work>"
        >>> read_svg(f'<svg width="9" height="9">{work}<circle r="9"/></svg>'.encode(), 8).said
        {'title': ['Dot'], 'subject': ['round', '']}
    """
    root = parse_svg(data)
    image = draw_svg(root, side=side)
    if image.getextrema() == ((255, 255),) * 3:
        raise CorpusError("shows nothing on white")
    file = io.BytesIO()
    image.save(file, "PNG")
    said = dict[str, list[str]]()
    for field in (field for work in root.iter() if _local(work.tag) == "Work" for field in work):
        said.setdefault(_local(field.tag), []).extend(_stated(field))
    return Drawing(file.getvalue(), said, outside(root))


def parse_svg(data: bytes) -> Element:
    """Parse an SVG file.

    Args:
        data: The file, in any encoding that its first line names and Python knows.

    Returns:
        Its outermost element; names are `{namespace}name`. Comments and processing instructions are left out.

    Raises:
        CorpusError: If it is no well-formed XML, no SVG, too large or too deep, or declares entities that are outside
            of the file, within each other, or long, so that a small file could stand for an endless text.

    Example:
        >>> parse_svg(b'<svg xmlns="http://www.w3.org/2000/svg"><g/></svg>').tag
        '{http://www.w3.org/2000/svg}svg'
    """
    if len(data) > _MOST:
        raise CorpusError(f"more than {_MOST >> 20} MiB")
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.builder.data
    parser.EntityDeclHandler, parser.SkippedEntityHandler = _check_entity, _refuse_unknown
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise CorpusError(f"not well-formed XML ({error})") from error
    except (LookupError, ValueError) as error:
        raise CorpusError(f"not well-formed XML (its encoding: {error})") from error
    root: Element = reader.builder.close()
    if _local(root.tag) != "svg":
        raise CorpusError(f"not an SVG ({_local(root.tag)})")
    return root


def outside(root: Element) -> int:
    """How many pictures of an SVG are not in it: in another file, or at an address."""
    return sum(_local(each.tag) == "image" and any(map(_leads_out, each.attrib.items())) for each in root.iter())


def require_drawing() -> None:
    """Require the package that draws.

    Raises:
        MissingExtraError: If it is not installed.
    """
    _resvg()


def draw_svg(root: Element, *, side: int) -> Image.Image:
    """Draw what is on the page of an SVG, on white, in the middle of a square, in proportion.

    A drawing whose elements have no namespace is drawn too. Text is set in the fonts that come with Matplotlib,
    whatever the system has, so that the same file is the same picture on every machine.

    Args:
        root: As `parse_svg` gives it; unchanged. References to anything outside of it are not followed.
        side: Pixels of a side.

    Returns:
        An image of mode RGB.

    Raises:
        CorpusError: If it has no size, more elements than a million once all are written out, or is not to be drawn.
        MissingExtraError: If the package that draws is not installed.

    Example:
        >>> page = '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="10"><path d="M0 0h20v10H0z"/></svg>'
        >>> image = draw_svg(parse_svg(page.encode()), side=8)
        >>> image.getpixel((4, 4)), image.getpixel((4, 1))
        ((0, 0, 0), (255, 255, 255))
    """
    try:
        drawn = _resvg().svg_to_bytes(
            svg_string=tostring(_enclosed(root), encoding="unicode"),
            background="white",
            width=side,  # with both, the drawing fits into them in proportion, however large it says it is
            height=side,
            dpi=96,  # what points and millimetres are measured by; without it they are nothing
            skip_system_fonts=True,
            font_files=_fonts(),
            **dict.fromkeys(("font_family", "sans_serif_family", "cursive_family", "fantasy_family"), "DejaVu Sans"),
            serif_family="DejaVu Serif",
            monospace_family="DejaVu Sans Mono",
        )
    except ValueError as error:
        raise CorpusError(f"not to be drawn ({' '.join(str(error).split())[:200]})") from error
    with Image.open(io.BytesIO(drawn), formats=["PNG"]) as image:
        square = Image.new("RGB", (side, side), "white")
        square.paste(image.convert("RGB"), ((side - image.width) // 2, (side - image.height) // 2))
        return square


class _Reader:
    """Builds the tree that a parser meets."""

    def __init__(self) -> None:
        self.builder, self._depth = TreeBuilder(), 0

    def start(self, tag: str, given: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise CorpusError(f"more than {_DEEPEST} elements within each other")
        self.builder.start(_named(tag), {_named(name): value for name, value in given.items()})

    def end(self, tag: str) -> None:
        self._depth -= 1
        self.builder.end(_named(tag))


def _stated(field: Element) -> Iterator[str]:
    """The texts of a field of the metadata: the items of its list, its own text, or what it refers to."""
    items = [each for each in field.iter() if _local(each.tag) == "li"]
    texts = [" ".join("".join(each.itertext()).split()) for each in items or [field]]
    yield from texts if items else filter(None, [*texts, *field.attrib.values()])


def _check_entity(name: str, _: int, value: str | None, *outer: str | None) -> None:
    if value is None:
        raise CorpusError(f"declares an external entity ({name}: {outer[1]})")
    if len(value) > _LONGEST or "&" in value or "%" in value:
        raise CorpusError(f"declares an entity that grows ({name})")


def _refuse_unknown(name: str, _: int) -> None:
    raise CorpusError(f"not well-formed XML (unknown entity {name})")


def _named(name: str) -> str:
    return f"{{{name}" if "}" in name else name


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _leads_out(attribute: tuple[str, str]) -> bool:
    """Whether it names anything but a part of the file, or data that are in it."""
    name, value = attribute
    return _local(name) == "href" and not value.lstrip().startswith(("#", "data:"))


def _enclosed(root: Element) -> Element:
    """A copy in which nothing leads out of it, and what has no namespace has that of SVG, as its author meant."""
    tag = root.tag if "}" in root.tag else f"{{{_NAMESPACE}}}{root.tag}"
    copy = Element(tag, dict(pair for pair in root.attrib.items() if not _leads_out(pair)))
    copy.text, copy.tail = root.text, root.tail
    copy.extend(map(_enclosed, root))
    return copy


def _resvg() -> Any:
    try:
        import resvg_py
    except ImportError as error:
        raise MissingExtraError("resvg-py", "svg") from error
    return resvg_py


@lru_cache(maxsize=1)
def _fonts() -> list[str]:
    from matplotlib import get_data_path

    return [str(Path(get_data_path(), "fonts", "ttf", f"{name}.ttf")) for name in _FONTS]
