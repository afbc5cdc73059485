"""Mesh files: what is read of each format, and that a damaged one is one clear line."""

import gzip
import json
import struct

import numpy as np
import pytest

from vergence.errors import CorpusError
from vergence.render import formats
from vergence.render.formats import FORMATS, parse_file, parse_surface

CORNERS = [[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 1]]
FACES = [[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4], [3, 2, 1, 0]]
TRIANGLES = [[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4], [3, 2, 1], [3, 1, 0]]
OFF = b"OFF\n5 5 0\n" + b"".join(
    " ".join(map(str, row)).encode() + b"\n" for row in [*CORNERS, *([len(face), *face] for face in FACES)]
)


def ply(form, *, between=b"", corner="float", counted="uchar", placed="int"):
    """A PLY file; `between` goes into the header after the format."""
    head = (
        f"ply\nformat {form} 1.0\n".encode()
        + between
        + f"element vertex 5\nproperty {corner} x\n"
        f"property {corner} y\nproperty {corner} z\nproperty uchar red\nelement face 5\n"
        f"property list {counted} {placed} vertex_indices\nend_header\n".encode()
    )
    if form == "ascii":
        rows = [[*corner, 255] for corner in CORNERS] + [[len(face), *face] for face in FACES]
        return head + b"".join(" ".join(map(str, row)).encode() + b"\n" for row in rows)
    order = "<" if "little" in form else ">"
    codes = {"float": "f", "double": "d", "uchar": "B", "int": "i", "ushort": "H"}
    body = b"".join(struct.pack(f"{order}3{codes[corner]}B", *place, 255) for place in CORNERS)
    for face in FACES:
        body += struct.pack(f"{order}{codes[counted]}{len(face)}{codes[placed]}", len(face), *face)
    return head + body


def chunk(kind, body):
    return struct.pack("<HI", kind, 6 + len(body)) + body


def three_ds(corners=CORNERS, triangles=TRIANGLES):
    points = struct.pack("<H", len(corners)) + np.array(corners, "<f4").tobytes()
    faces = struct.pack("<H", len(triangles)) + np.array([[*t, 7] for t in triangles], "<u2").tobytes()
    mesh = chunk(0x4100, chunk(0x4110, points) + chunk(0x4120, faces + chunk(0x4150, b"")))
    return chunk(0x4D4D, chunk(0x0002, b"\3\0\0\0") + chunk(0x3D3D, chunk(0x4000, b"name\0" + mesh)))


OBJ = b"# a pyramid\no it\nvn 0 0 1\n" + b"".join(f"v {x} {y} {z}\n".encode() for x, y, z in CORNERS)
OBJ += b"f 1/1/1 2//1 5\nf -4 -3 -1\nf 3 4 5\nf 4 1 5\nf 4 3 2 1 # the ground\n"
MODULE = f"exports.positions={json.dumps(CORNERS)};\nexports.cells={json.dumps(TRIANGLES)};\n".encode()
WHOLE = {
    "off": (".off", OFF),
    "off with comments, counts beside OFF, colours": (
        ".off",
        b"OFF 5 5 8 # counts\n\n# corners\n" + OFF[10:].replace(b"3 0 1 4\n", b"3 0 1 4 255 0 0\n"),
    ),
    "ascii ply": (".ply", ply("ascii")),
    "little ply": (".ply", ply("binary_little_endian", counted="ushort")),
    "big ply": (".ply", ply("binary_big_endian", corner="double", between=b"comment of it\nobj_info it\n")),
    "ply with Windows lines": (".ply", ply("ascii").replace(b"\n", b"\r\n")),
    "obj": (".obj", OBJ),
    "3ds": (".3ds", three_ds()),
    "module": (".js", MODULE),
}


@pytest.mark.parametrize("name", WHOLE)
def test_every_format_says_the_same_of_a_pyramid(name):
    suffix, data = WHOLE[name]
    surface = parse_surface(data, suffix, where="it")
    assert surface.corners.tolist() == CORNERS
    assert surface.triangles.tolist() == TRIANGLES


def test_a_packed_file_is_unpacked_whatever_the_case_of_its_name():
    assert parse_file(gzip.compress(OFF), "Cow.OFF.GZ", where="it").triangles.tolist() == TRIANGLES


def test_faces_of_one_size_are_read_at_once_and_as_those_of_many():
    triangles = np.random.default_rng(0).integers(0, 5, (2000, 3))
    body = b"".join(struct.pack("<B3i", 3, *row) for row in triangles.tolist())
    data = ply("binary_little_endian").replace(b"element face 5", b"element face 2000")
    data = data[: -len(FACES) - 4 * sum(map(len, FACES))] + body
    assert np.array_equal(parse_surface(data, ".ply", where="it").triangles, triangles)


def test_objects_of_a_3ds_file_are_one_mesh():
    twice = chunk(0x4D4D, three_ds()[6:] + three_ds()[6:])
    surface = parse_surface(twice, ".3ds", where="it")
    assert surface.triangles[6:].tolist() == (np.array(TRIANGLES) + 5).tolist()


DAMAGED = {
    "of no format": (".stl", b"solid", "unknown mesh format '.stl'; known: .off, .ply, .obj, .3ds, .js"),
    "empty": (".off", b"", "does not begin with OFF"),
    "of another kind": (".off", b"COFF\n1 1 0", "save"),
    "binary off": (".off", b"OFF BINARY\n", "save"),
    "off without counts": (".off", b"OFF\n", "2 counts due"),
    "off that promises too much": (".off", b"OFF\n999999999 999999999 0\n0 0 0\n", "lines of corners and faces due"),
    "off cut short": (".off", OFF[:-20], "due"),
    "off with a word": (".off", OFF.replace(b"0.5", b"half", 1), "could not convert"),
    "off with a long word": (".off", OFF.replace(b"0.5", b"0." + b"5" * 100, 1), "102 characters"),
    "off with a negative place": (".off", OFF.replace(b"3 0 1 4", b"3 0 -1 4"), "'-1' where"),
    "off with a corner too many": (".off", OFF.replace(b"3 0 1 4", b"3 0 1 5"), r"corner outside \[0, 4\]"),
    "off with NaN": (".off", OFF.replace(b"0.5", b"nan", 1), "NaN, infinite"),
    "off of points": (".off", b"OFF\n1 0 0\n1 2 3\n", "1 corners and 0 triangles"),
    "ply without end": (".ply", b"ply\nformat ascii 1.0\n", "no header"),
    "ply of no format": (".ply", ply("ascii").replace(b"format ascii", b"format klingon"), "'format klingon 1.0'"),
    "ply of a kind": (".ply", ply("ascii").replace(b"float x", b"float80 x"), "float80"),
    "ply that promises too much": (".ply", ply("ascii").replace(b"vertex 5", b"vertex 99999999"), "99999999"),
    "ply without x": (".ply", ply("ascii").replace(b"float x", b"float u"), "no vertex with x, y, z"),
    "ply without faces": (".ply", ply("ascii").replace(b"vertex_indices", b"others"), "no face with"),
    "ply counted by float": (".ply", ply("ascii").replace(b"list uchar", b"list float"), "counted by float"),
    "ply cut short": (".ply", ply("ascii")[:-6], "left|cut short"),
    "binary ply cut short": (".ply", ply("binary_big_endian")[:-6], "left|cut short"),
    "ply with a list without end": (".ply", ply("ascii").replace(b"4 3 2 1 0", b"9e8 3 2 1 0"), "list of 900000000"),
    "ply with a negative list": (".ply", ply("ascii").replace(b"4 3 2 1 0", b"-4 3 2 1 0"), "list of -4"),
    "ply with NaN for a place": (".ply", ply("ascii").replace(b"4 3 2 1 0", b"4 nan 2 1 0"), "not there"),
    "obj of points": (".obj", b"v 0 0 0\nv 1 0 0\n", "2 corners and 0 triangles"),
    "obj with zero": (".obj", OBJ.replace(b"f 3 4 5", b"f 0 4 5"), "line 11: a face names a corner"),
    "obj far back": (".obj", OBJ.replace(b"f 3 4 5", b"f -9 4 5"), "line 11: a face names a corner"),
    "obj beyond": (".obj", OBJ.replace(b"f 3 4 5", b"f 3 4 6"), r"corner outside \[0, 4\]"),
    "obj with two numbers": (".obj", b"v 0 0\n", "line 1: coordinates due"),
    "3ds cut short": (".3ds", three_ds()[:-3], "a chunk of"),
    "3ds with an empty chunk": (".3ds", chunk(0x4D4D, struct.pack("<HI", 0x3D3D, 0)), "a chunk of 0 bytes"),
    "3ds without a name": (".3ds", chunk(0x4D4D, chunk(0x3D3D, chunk(0x4000, b"name"))), "not found"),
    "3ds that promises too much": (".3ds", three_ds().replace(b"\5\0\0\0\0\0", b"\xff\xff\0\0\0\0", 1), "65535 rows"),
    "3ds with a corner too many": (".3ds", three_ds(CORNERS[:4]), "does not have"),
    "3ds faces first": (".3ds", chunk(0x4D4D, chunk(0x3D3D, chunk(0x4000, b"\0" + chunk(0x4120, b"")))), "before"),
    "3ds too deep": (".3ds", b"deep", "chunk|requires"),
    "module without cells": (".js", MODULE.replace(b"cells", b"sells"), "no array cells"),
    "module of code": (".js", MODULE.replace(b"[0, 1, 4]", b"[0, f(), 4]"), "no array cells"),
    "module of pairs": (".js", b"exports.positions=[[0,1]];exports.cells=[[0,1,2]];", "rows of three"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_mesh_is_one_line_that_names_it(name):
    suffix, data, complaint = DAMAGED[name]
    with pytest.raises(CorpusError, match=complaint) as raised:
        parse_surface(data, suffix, where="it.x")
    assert str(raised.value).startswith("it.x: ")
    assert len(str(raised.value).splitlines()) == 1


def test_a_nan_that_would_warn_when_copied_is_found_in_silence():
    data = ply("binary_little_endian").replace(struct.pack("<f", 0.5), struct.pack("<I", 0x7F800001), 1)
    with pytest.raises(CorpusError, match="NaN, infinite"):
        parse_surface(data, ".ply", where="it")


def test_chunks_in_chunks_without_end_are_refused():
    data = chunk(0x4110, b"")
    for _ in range(40):
        data = chunk(0x4D4D, data)
    with pytest.raises(CorpusError, match="a chunk of"):
        parse_surface(data, ".3ds", where="it")


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_beginning_and_every_changed_byte_of_a_file_is_read_or_refused(suffix):
    data = next(whole for name, whole in WHOLE.values() if name == suffix)
    draw = np.random.default_rng(0)
    for _ in range(300):
        bad = bytearray(data[: draw.integers(len(data) + 1)])
        for place in draw.integers(0, max(len(bad), 1), draw.integers(0, 4)).tolist() if bad else []:
            bad[place] = draw.integers(256)
        try:
            surface = parse_surface(bytes(bad), suffix, where="it")
        except CorpusError:
            continue
        assert np.isfinite(surface.corners).all()
        assert 0 <= surface.triangles.min() <= surface.triangles.max() < len(surface.corners)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"OFF", "no whole gzip file"),
        (gzip.compress(OFF, mtime=0)[:-12], "cut short"),
        (gzip.compress(bytes(10_001), mtime=0), "unpacks to more than 10,000 bytes"),
    ],
    ids=["no gzip", "cut", "too long"],
)
def test_a_damaged_or_boundless_packed_file_is_refused(data, complaint, monkeypatch):
    monkeypatch.setattr(formats, "MOST_BYTES", 10_000)
    with pytest.raises(CorpusError, match=complaint):
        parse_file(data, "it.off.gz", where="it.off.gz")
