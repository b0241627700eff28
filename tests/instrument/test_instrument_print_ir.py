"""PrintIR: what it prints, and that it survives what passes do."""

import io

import numpy as np
import pytest
import tvm
from tvm.script import ir as I
from tvm.script import relax as R

import tvm_book
from tests.instrument.modules import Clean, Unused, with_constant
from tvm_book.instrument import PrintIR, diff_modules


@I.ir_module
class Renamed:
    @R.function
    def forward(x: R.Tensor((4,), "float32")) -> R.Tensor((4,), "float32"):
        with R.dataflow():
            y = R.nn.relu(x)
            R.output(y)
        return y


@tvm.transform.module_pass(opt_level=0, name="Keep")
def keep(mod, _):
    return mod


@tvm.transform.module_pass(opt_level=0, name="Clean")
def clean(mod, _):
    return Clean


@tvm.transform.module_pass(opt_level=0, name="Outer")
def outer(mod, _):
    return clean(keep(mod))


@tvm.transform.module_pass(opt_level=0, name="Outer")
def outer_reversed(mod, _):
    return keep(clean(mod))


@tvm.transform.module_pass(opt_level=0, name="OuterAndMore")
def outer_and_more(mod, _):
    clean(mod)
    return Renamed


@tvm.transform.module_pass(opt_level=0, name="Broken")
def broken(mod, _):
    raise ValueError("broken on purpose")


@tvm.transform.module_pass(opt_level=0, name="Tolerant")
def tolerant(mod, _):
    try:
        broken(mod)
    except ValueError:
        pass
    return clean(mod)


@tvm.transform.module_pass(opt_level=0, name="OtherConstant")
def other_constant(mod, _):
    return with_constant(2.0)


def printed(run_pass, mod=Unused, **options):
    file = io.StringIO()
    with tvm.transform.PassContext(instruments=[PrintIR(file=file, **options)]):
        run_pass(mod)
    return file.getvalue()


def headings(text):
    return [line for line in text.splitlines() if line.startswith("# ") and line[2].isdigit()]


BEFORE, AFTER = Unused.script(), Clean.script()


def test_name_and_module_before_each_pass():
    steps = tvm.transform.Sequential([keep, clean, keep], name="Steps")
    assert printed(steps) == (
        f"# 1: Steps\n{BEFORE}\n\n"
        f"# 2: Steps > Keep\n{BEFORE}\n\n"
        f"# 3: Steps > Clean\n{BEFORE}\n\n"
        f"# 4: Steps > Keep\n{AFTER}\n\n"
    )


def test_after_as_well():
    assert printed(outer, only="Outer|Clean", after=True) == (
        f"# 1: Outer\n{BEFORE}\n\n"
        f"# 2: Outer > Clean\n{BEFORE}\n\n"
        f"# 2: Outer > Clean (after)\n{AFTER}\n\n"
        f"# 1: Outer (after)\n{AFTER}\n\n"
    )


@pytest.mark.parametrize("only", ["Clean", "^Cl", ["nothing", "lean"], ("Clean",)])
def test_filter_keeps_the_path_of_hidden_passes(only):
    assert headings(printed(outer, only=only)) == ["# 1: Outer > Clean"]


def test_a_filter_that_meets_nothing_says_so():
    text = printed(outer, only="Claen")
    assert text == "# PrintIR: no pass matches 'Claen'; did you mean Clean?\n"
    assert "passes that ran: Outer, Keep, Clean\n" in printed(outer, only=["zz", "qq"])


def test_diff_shows_changes_once():
    change = diff_modules(Unused, Clean)
    assert "-            unused:" in change
    assert printed(outer, diff=True) == (
        "# 1: Outer > Keep: no change\n"
        f"# 2: Outer > Clean\n{change}\n\n"
        "# 3: Outer: nothing beyond its inner passes above\n"
    )


def test_diff_of_a_pass_that_does_more_than_its_inner_passes():
    whole = diff_modules(Unused, Renamed)
    assert printed(outer_and_more, diff=True).endswith(f"# 2: OuterAndMore\n{whole}\n\n")


def test_diff_when_the_filter_hides_the_inner_pass():
    change = diff_modules(Unused, Clean)
    assert printed(outer, diff=True, only="Outer") == f"# 1: Outer\n{change}\n\n"
    # Of two inner passes the one that is shown does not explain the change, first or last.
    for both in (outer, outer_reversed):
        text = printed(both, diff=True, only="Outer|Keep")
        assert text == f"# 1: Outer > Keep: no change\n# 2: Outer\n{change}\n\n"


def test_diff_notices_constants_that_the_script_hides():
    text = printed(other_constant, with_constant(1.0), diff=True)
    assert text.startswith("# 1: OtherConstant\n(the scripts are equal; ")
    assert printed(keep, with_constant(1.0), diff=True) == "# 1: Keep: no change\n"


def test_constants_on_request():
    assert "metadata = " not in printed(keep, with_constant(1.0))
    assert "metadata = " in printed(keep, with_constant(1.0), show_meta=True)


@pytest.mark.parametrize("diff", [False, True])
def test_a_failing_pass_is_named_and_its_error_arrives(diff):
    file = io.StringIO()
    instrument = PrintIR(file=file, diff=diff)
    steps = tvm.transform.Sequential([keep, broken, clean], name="Steps")
    with pytest.raises(ValueError, match="broken on purpose"):
        with tvm.transform.PassContext(instruments=[instrument]):
            steps(Unused)
    unfinished = [line for line in headings(file.getvalue()) if line.endswith("(did not finish)")]
    assert [line.split(": ")[1] for line in unfinished] == [
        "Steps > Broken (did not finish)",
        "Steps (did not finish)",
    ]
    with tvm.transform.PassContext(instruments=[instrument]):  # and it can be used again
        keep(Unused)
    assert headings(file.getvalue())[-1].startswith("# 1: Keep")


def test_a_failure_that_the_caller_survives():
    text = printed(tolerant, diff=True, only="Tolerant|Broken")
    change = diff_modules(Unused, Clean)
    assert text == f"# 1: Tolerant > Broken (did not finish)\n# 2: Tolerant\n{change}\n\n"


def test_a_whole_compilation_is_printed_without_colour():
    for options in ({}, {"diff": True}):
        file = io.StringIO()
        with tvm.transform.PassContext(instruments=[PrintIR(file=file, **options)]):
            run = tvm_book.compile(Unused)
        assert "\x1b" not in file.getvalue()
        assert any("cpu_pipeline > LegalizeOps" in line for line in headings(file.getvalue()))
        np.testing.assert_array_equal(run(np.float32([-1, 0, 1, 2])), [0, 0, 1, 2])


def test_standard_output_is_looked_up_when_printing(capsys):
    instrument = PrintIR()
    with tvm.transform.PassContext(instruments=[instrument]):
        keep(Unused)
    assert capsys.readouterr().out == f"# 1: Keep\n{BEFORE}\n\n"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"only": "("}, ValueError, "'\\(' is not a regular expression"),
        ({"only": [1]}, TypeError, "only must be a string or a sequence of strings"),
        ({"diff": True, "after": True}, ValueError, "leave after and show_meta out"),
        ({"diff": True, "show_meta": True}, ValueError, "leave after and show_meta out"),
    ],
)
def test_wrong_options(options, error, message):
    with pytest.raises(error, match=message):
        PrintIR(**options)
