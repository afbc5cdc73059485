"""A small package in the form of `openclipart-svg`: drawings as they are in it, and some as an enemy writes them."""

import io
import tarfile
from pathlib import Path

FOLDER = "usr/share/openclipart/svg"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
_NAMES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def metadata(
    title: str = "", keywords: tuple[str, ...] = ("",), *, description: str | None = "", creator: str = ""
) -> str:
    """Metadata as the library's tools wrote them: fields that nobody filled in are there, and empty."""
    subject = "".join(f"\n            <rdf:li>{word}</rdf:li>" for word in keywords)
    told = "" if description is None else f"<dc:description>{description}</dc:description>"
    return f"""  <metadata>
    <rdf:RDF xmlns:cc="http://web.resource.org/cc/" xmlns:dc="http://purl.org/dc/elements/1.1/"
        xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
      <cc:Work rdf:about="">
        <dc:title>{title}</dc:title>
        {told}
        <dc:subject>
          <rdf:Bag>{subject}
          </rdf:Bag>
        </dc:subject>
        <dc:publisher>
          <cc:Agent rdf:about="http://www.openclipart.org/"><dc:title>Open Clip Art Library</dc:title></cc:Agent>
        </dc:publisher>
        <dc:creator>
          <cc:Agent>
            <dc:title>{creator}</dc:title>
          </cc:Agent>
        </dc:creator>
        <dc:date></dc:date>
        <dc:format>image/svg+xml</dc:format>
        <cc:license rdf:resource="http://web.resource.org/cc/PublicDomain"/>
        <dc:language>en</dc:language>
      </cc:Work>
    </rdf:RDF>
  </metadata>
"""


def svg(inside: str, *, size: str = 'width="40" height="20"', head: str = _HEAD) -> bytes:
    """An SVG file."""
    return f"{head}<svg {size} {_NAMES}>\n{inside}</svg>\n".encode()


def square(color: str, *, said: str = "", size: str = 'width="40" height="20"') -> bytes:
    """A drawing that is one colour all over."""
    return svg(f'{said}  <rect width="40" height="20" style="fill:{color};stroke:none"/>\n', size=size)


_BOMB = (
    '<!DOCTYPE svg [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {name} "{f"&{of};" * 10}">' for of, name in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>\n"
)
_USES = "".join(
    f'<g id="u{n}">{f"""<use xlink:href="#u{n - 1}"/>""" * 10}</g>' for n in range(1, 9)
)  # a hundred million squares, had they to be drawn

GOOD = {
    "animals/horse_conner_01": square("red", said=metadata("Tempus Fugit", ("horse", "robot"), creator="John Conner")),
    "animals/horse_conner_02": square("#f00001", said=metadata("Another horse", ("", "horse"), description=None)),
    "animals/untitled": square("blue", said=metadata()),
    "animals/foreign": square("green", said=metadata("&#233;toile &amp;eacute;", ("estrella",), description="estrela")),
    "shapes/stars/star_1": b'<?xml version="1.0" ?>\n<svg height="100" width="100">\n'
    + metadata("gramastar", ("stars", "shapes")).encode()
    + b'  <path d="M 50.0,90.0 L 73.9,82.0 L 0,0 z"/></svg>',
    "shapes/stars/star_2": square("navy", said=metadata("Gramastar ", ("stars",))),
    "computer/photo": svg(
        metadata("photo")
        + '<image width="9" height="9" xlink:href="file:///etc/passwd"/>'
        + '<image width="9" height="9" xlink:href="http://127.0.0.1:9/a.png"/>'
        + '<rect width="40" height="20" fill="teal"/>'
    ),
    "computer/adobe": b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.0//EN" "http://127.0.0.1:9/svg10.dtd" [\n'
    b'<!ENTITY ns_svg "http://www.w3.org/2000/svg">\n]>\n'
    b'<svg xmlns="&ns_svg;" width="4" height="2"><rect width="4" height="2"/></svg>',
    "computer/latin": b'<?xml version="1.0" encoding="ISO-8859-1"?>\n<svg width="9" height="9">'
    b'<Work xmlns="http://web.resource.org/cc/"><title>caf\xe9</title></Work><rect width="9" height="9"/></svg>',
    "signs/huge": square("maroon", said=metadata("huge"), size='width="1e9mm" height="5e8mm" viewBox="0 0 40 20"'),
}
REFUSED = {
    "bad/cut_short": (square("red")[:-9], "not well-formed XML"),
    "bad/encoding": (b'<?xml version="1.0" encoding="UTF-8"?>\n<svg><!-- caf\xe9 --></svg>', "not well-formed XML"),
    "bad/no_encoding": (b'<?xml version="1.0" encoding="klingon"?>\n<svg/>', "not well-formed XML"),
    "bad/unknown_entity": (svg("&eacute;", head='<!DOCTYPE svg SYSTEM "a.dtd">\n'), "not well-formed XML"),
    "bad/external": (
        svg("<text>&x;</text>", head='<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n'),
        "declares an external entity",
    ),
    "bad/laughs": (svg("<text>&i;</text>", head=_BOMB), "declares an entity that grows"),
    "bad/uses": (svg(f'<rect id="u0" width="1" height="1"/>{_USES}'), "not to be drawn"),
    "bad/deep": (svg("<g>" * 5000 + "</g>" * 5000), "more than 256 elements within each other"),
    "bad/long": (svg("<!--" + "x" * (1 << 22) + "-->"), "more than 4 MiB"),
    "bad/flat": (square("red", size='width="0" height="20"'), "not to be drawn"),
    "bad/page": (b"<html><body/></html>", "not an SVG"),
    "bad/blank": (svg(metadata("nothing")), "shows nothing on white"),
    "bad/white": (square("white", said=metadata("white")), "shows nothing on white"),
    "bad/beside": (svg('<rect x="99" width="9" height="9"/>'), "shows nothing on white"),
}
LINKS = {
    "people/rider": "../animals/horse_conner_01.svg",
    "people/lost": "../../../../../etc/passwd",
    "people/nothing": "../bad/blank.svg",
}


def package(path: Path) -> Path:
    """Write a package of all of them."""
    with tarfile.open(path, "w") as archive:
        for key, content in {**GOOD, **{key: content for key, (content, _) in REFUSED.items()}}.items():
            _add(archive, f"./{FOLDER}/{key}.svg", content)
        for key, to in LINKS.items():
            _add(archive, f"./{FOLDER}/{key}.svg", b"", link=to)
        _add(archive, "./usr/share/doc/openclipart-svg/copyright", b"public domain")
    return path


def _add(archive: tarfile.TarFile, name: str, content: bytes, link: str = "") -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    if link:
        member.type, member.linkname = tarfile.SYMTYPE, link
    archive.addfile(member, io.BytesIO(content))
