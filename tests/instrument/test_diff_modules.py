"""diff_modules: what it prints of a difference, and of arguments that make no sense."""

import pytest
import tvm

from tests.instrument.modules import Clean, Unused, with_constant
from tvm_book.instrument import diff_modules


def test_a_difference_is_a_unified_diff():
    lines = diff_modules(Unused, Clean, names=("old", "new"), context=0).splitlines()
    assert lines[:2] == ["--- old", "+++ new"]
    assert [line for line in lines[2:] if line[0] not in "@"] == [
        '-            unused: R.Tensor((4,), dtype="float32") = R.exp(x)'
    ]


def test_equal_modules_have_none():
    assert diff_modules(Unused, Unused) == ""
    assert diff_modules(Unused, tvm.script.from_source(Unused.script())) == ""
    assert diff_modules(Unused["main"], Unused["main"]) == ""


def test_what_the_script_hides_is_mentioned():
    text = diff_modules(with_constant(1.0), with_constant(2.0))
    assert text.startswith("(the scripts are equal; what they do not print differs")
    assert diff_modules(with_constant(1.0), with_constant(1.0)) == ""


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((Unused, Clean), {"context": -1}, ValueError, "context must not be negative, got -1"),
        ((Unused, Clean), {"names": ("one",)}, ValueError, "names must be two.*got \\('one',\\)"),
        ((Unused, Clean), {"names": "ab"}, ValueError, "names must be two.*got 'ab'"),
        (("a", Clean), {}, TypeError, "before must be a module or a function, not str"),
        ((Unused, None), {}, TypeError, "after must be a module or a function, not NoneType"),
    ],
)
def test_wrong_arguments(arguments, options, error, message):
    with pytest.raises(error, match=message):
        diff_modules(*arguments, **options)
