"""Names that mean something else, on systems where they would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.files.places import UnsafeName, check_name


@given(st.binary(max_size=30))
def test_a_name_is_refused_exactly_when_it_cannot_be_one(name):
    bad = name in (b"", b".", b"..") or b"/" in name or b"\0" in name
    if bad:
        with pytest.raises(UnsafeName):
            check_name(name, windows=False)
    else:
        check_name(name, windows=False)


@pytest.mark.parametrize(
    "name",
    [b"a\\b", b"..\\x", b"C:", b"C:x", b"file:stream", b"con", b"NUL.txt", b"com1", b"x.", b"x ",
     b"a*", b"a\x01b", b"LPT9.", b"aux .txt"],
)  # fmt: skip
def test_names_that_windows_takes_for_something_else_are_refused_there(name):
    check_name(name, windows=False)
    with pytest.raises(UnsafeName):
        check_name(name, windows=True)


@pytest.mark.parametrize("name", [b"x", b"file.txt", b".hidden", b"console", b"\xc3\xa4", b"a b"])
def test_plain_names_are_fine_everywhere(name):
    check_name(name, windows=True)
