"""RecordIR: which modules it keeps, under which names, and what it compares."""

import pytest
import torch
import tvm
from tvm.script import ir as I
from tvm.script import relax as R

from tvm_book import quantize
from tvm_book.frontend import from_pytorch
from tvm_book.instrument import PrintIR, RecordIR, diff_html


@I.ir_module
class Double:
    @R.function
    def main(x: R.Tensor((4,), "float32")):
        return R.add(x, x)


@I.ir_module
class Triple:
    @R.function
    def main(x: R.Tensor((4,), "float32")):
        return R.multiply(x, R.const(3.0, "float32"))


@I.ir_module
class Renamed:
    @R.function
    def main(y: R.Tensor((4,), "float32")):
        return R.multiply(y, R.const(3.0, "float32"))


def becomes(name, result):
    @tvm.transform.module_pass(opt_level=0, name=name)
    def run(mod, _):
        return mod if result is None else result

    return run


def run(instrument, *steps, mod=Double):
    with tvm.transform.PassContext(instruments=[instrument]):
        for step in steps:
            mod = step(mod)
    return instrument


def same(one, two):
    return one.script() == two.script()


@pytest.fixture
def steps():
    inner = [becomes("Keep", None), becomes("Triple", Triple), becomes("Keep", None)]
    return tvm.transform.Sequential(inner, name="Steps")


def test_every_pass_has_a_stage_in_the_order_of_beginning(steps):
    stages = run(RecordIR(), steps, becomes("Rename", Renamed))
    assert list(stages) == ["Steps", "Keep", "Triple", "Keep#2", "Rename"]
    assert len(stages) == 5 and "Keep#2" in stages and "Keep#3" not in stages
    after = {"Steps": Triple, "Keep": Double, "Triple": Triple, "Keep#2": Triple}
    assert all(same(stages[name], mod) for name, mod in after.items())
    assert same(stages.before("Triple"), Double) and same(stages.before("Keep#2"), Triple)


def test_the_summary_indents_and_says_what_changed(steps):
    assert repr(run(RecordIR(), steps, becomes("Rename", Renamed))).splitlines() == [
        "Steps: changed",
        "  Keep: no change",
        "  Triple: changed",
        "  Keep#2: no change",
        "Rename: changed",  # a new name of a variable is a change: a difference shows it
    ]
    assert repr(RecordIR()) == "RecordIR: no pass has ended"


def test_differences_of_one_pass_and_between_two(steps):
    stages = run(RecordIR(), steps, becomes("Rename", Renamed))
    expected = diff_html(Double, Triple, names=("before Triple", "after Triple"))
    assert stages.diff("Triple") == expected
    expected = diff_html(Double, Renamed, names=("after Keep", "after Rename"), context=0)
    assert stages.diff("Keep", "Rename", context=0) == expected
    assert stages.diff("Steps", names=("a", "b")).names == ("a", "b")
    assert str(stages.diff("Keep")) == "(there is no difference)"


def test_a_filter(steps):
    assert list(run(RecordIR("^K"), steps)) == ["Keep", "Keep#2"]
    assert list(run(RecordIR(["Tri", "Ste"]), steps)) == ["Steps", "Triple"]
    with pytest.raises(ValueError, match="'\\(' is not a regular expression"):
        RecordIR("(")


def test_unknown_stages_are_named_with_what_there_is(steps):
    stages = run(RecordIR(), steps)
    for look in (stages.__getitem__, stages.before, stages.diff):
        with pytest.raises(KeyError, match="no stage 'Tripel'; did you mean Triple"):
            look("Tripel")
    with pytest.raises(KeyError, match="passes that ran: Steps, Keep, Triple, Keep#2"):
        stages["zzz"]
    with pytest.raises(KeyError, match="no pass has ended: run some in a PassContext"):
        RecordIR()["Keep"]


def test_a_pass_that_writes_into_its_module_leaves_the_kept_one():
    @tvm.transform.module_pass(opt_level=0, name="InPlace")
    def in_place(mod, _):
        mod.update_func(mod.get_global_var("main"), Triple["main"])
        return mod

    stages = run(RecordIR(), in_place, mod=Double.clone())
    assert same(stages.before("InPlace"), Double) and same(stages["InPlace"], Triple)
    assert repr(stages) == "InPlace: changed"


def test_failed_passes_are_left_out_and_the_next_context_starts_anew():
    @tvm.transform.module_pass(opt_level=0, name="Broken")
    def broken(mod, _):
        raise ValueError("on purpose")

    @tvm.transform.module_pass(opt_level=0, name="Tolerant")
    def tolerant(mod, _):
        with pytest.raises(ValueError, match="on purpose"):
            broken(mod)
        return Triple

    stages = run(RecordIR(), tolerant)
    assert repr(stages) == "Tolerant: changed"
    with pytest.raises(ValueError, match="on purpose"):
        run(stages, becomes("Triple", Triple), broken)
    assert list(stages) == ["Triple"]
    assert list(run(stages, becomes("Keep", None))) == ["Keep"]


def test_it_sees_what_print_ir_sees(capsys):
    """A whole quantization: the same passes, and the same modules as text."""
    torch.manual_seed(0)
    mod, params = from_pytorch(torch.nn.Conv2d(3, 4, 3).eval(), [("data", (1, 3, 8, 8))])
    stages, printer = RecordIR("^Quantize"), PrintIR("^Quantize", after=True)
    with tvm.transform.PassContext(instruments=[stages, printer]):
        quantize.quantize(mod, params, config=quantize.qconfig(skip_conv_layers=[]))
    names = ["QuantizePartition", "QuantizeAnnotate", "QuantizeCalibrate", "QuantizeRealize"]
    assert list(stages) == names
    printed = capsys.readouterr().out
    for name in names:
        assert f"> {name}\n{stages.before(name).script(show_meta=False)}\n" in printed
        assert f"> {name} (after)\n{stages[name].script(show_meta=False)}\n" in printed
