"""NumPy files: read as numpy reads them, and nothing is unpickled."""

from math import prod

import numpy as np
import pytest

from vergence.data.npy import member, members, read_npy
from vergence.errors import CorpusError


@pytest.mark.parametrize("dtype", ["float32", ">i8", "uint8"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_any_numbers_are_read_as_numpy_reads_them(tmp_path, save, dtype):
    values = np.arange(prod((7, 3, 2)), dtype=dtype).reshape(7, 3, 2)
    save(tmp_path / "a.npz", values=values, empty=values[:0])
    assert members(tmp_path / "a.npz") == ["values", "empty"]
    found = member(tmp_path / "a.npz", "values", dtype=values.dtype.name, shape=(None, 3, 2))
    assert np.array_equal(found.array(), values)
    assert found.offset is None or np.array_equal(found.mapped(), values)
    assert member(tmp_path / "a.npz", "empty", dtype=values.dtype.name, shape=(None, 3, 2)).array().shape == (0, 3, 2)
    np.save(tmp_path / "a.npy", values)
    assert np.array_equal(read_npy(tmp_path / "a.npy", dtype=values.dtype.name, shape=(7, 3, 2)), values)
    np.save(tmp_path / "o.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(CorpusError, match=r"o.npy holds pickled objects, which are not read; int64 was expected"):
        read_npy(tmp_path / "o.npy", dtype="int64", shape=(1,))


def test_a_header_that_python_2_wrote_is_read(tmp_path):
    values = np.arange(6, dtype=np.int64).reshape(3, 2)
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (3L, 2L), }".ljust(117) + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\1\0" + bytes([len(header), 0]) + header + values.tobytes())
    assert np.array_equal(read_npy(tmp_path / "a.npy", dtype="int64", shape=(3, 2)), values)


@pytest.mark.parametrize("header", [b"{'descr': ((((", b"", b"{}", b"\xff\xff", b"{'descr': '|u1'}"])
def test_a_damaged_header_is_reported_in_one_line(tmp_path, header):
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\1\0" + bytes([len(header) + 1, 0]) + header + b"\n")
    with pytest.raises(CorpusError, match=r"a.npy is no .npy file: its header cannot be read: .+$"):
        read_npy(tmp_path / "a.npy", dtype="int64", shape=(3, 2))
