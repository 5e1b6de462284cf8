"""Every file in data/ holds, and every file in bad/ is found not to hold (see wire.py)."""

import glob
import os

import pytest

import wire

HERE = os.path.dirname(os.path.abspath(__file__))


def cases(folder):
    paths = sorted(glob.glob(os.path.join(HERE, folder, "*.txt")))
    return [pytest.param(p, id=os.path.basename(p)[:-4]) for p in paths]


@pytest.mark.parametrize("path", cases("data"))
def test_wire(program, version, path, tmp_path):
    wire.run_case(program, version, wire.Case(path), tmp_path)


@pytest.mark.parametrize("path", cases("bad"))
def test_difference_is_found(program, version, path, tmp_path):
    """The title of such a case is what must be said about it."""
    case = wire.Case(path)
    with pytest.raises(wire.WireError) as caught:
        wire.run_case(program, version, case, tmp_path)
    assert case.title in str(caught.value)
