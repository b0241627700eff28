"""Saving to one file and loading it, in this process and in a fresh one."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm.script import ir as I
from tvm.script import relax as R
from tvm.support import cc
from tvm.target import codegen

import tvm_book
from tvm_book import quantize
from tvm_book.backend.isa import LEVELS
from tvm_book.quantize import QConfig, Recipe
from tvm_book.runtime import _library

FOLDER = Path(tvm_book.__file__).parents[1]
HOST = tvm.target.Target({"kind": "llvm", "mcpu": codegen.llvm_get_system_cpu()})
needs_linker = pytest.mark.skipif(cc.get_cc() is None, reason="linking needs a C++ compiler")


@I.ir_module
class Softmax:
    @R.function
    def main(logits: R.Tensor((3, 5), "float32"), scale: R.Tensor((), "float32")):
        with R.dataflow():
            lv = R.multiply(logits, scale)
            y = R.nn.softmax(lv)
            out = (y, R.sum(y))
            R.output(out)
        return out


@pytest.fixture(scope="module")
def model():
    return tvm_book.compile(Softmax)


@pytest.fixture(scope="module")
def inputs():
    return np.random.default_rng(0).standard_normal((3, 5)).astype("float32"), np.float32(0.5)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.so"
    model.save(path)
    return path


def equal(left, right):
    return all(a.tobytes() == b.tobytes() for a, b in zip(left, right, strict=True))


@needs_linker
def test_loaded_model_is_the_same(model, inputs, saved):
    loaded = tvm_book.load(str(saved))
    assert equal(loaded(*inputs), model(*inputs))
    assert loaded.inputs == model.inputs and loaded.outputs == model.outputs
    assert repr(loaded) == repr(model)
    with pytest.raises(TypeError, match="did you mean 'logits'"):
        loaded(logit=inputs[0])


@needs_linker
def test_a_fresh_process_computes_the_same_bits(model, inputs, saved, tmp_path):
    np.save(tmp_path / "x.npy", inputs[0])
    program = (
        "import sys, numpy, tvm_book; x, y, path = sys.argv[1:]; "
        "out = tvm_book.load(path)(logits=numpy.load(x), scale=numpy.float32(0.5)); "
        "numpy.save(y, out[0])"
    )
    files = [str(tmp_path / "x.npy"), str(tmp_path / "y.npy"), str(saved)]
    subprocess.run([sys.executable, "-c", program, *files], cwd=FOLDER, check=True)
    assert np.load(tmp_path / "y.npy").tobytes() == model(*inputs)[0].tobytes()


@needs_linker
def test_nothing_on_standard_error_but_what_others_write(inputs, tmp_path, capfd, monkeypatch):
    model = tvm_book.compile(Softmax, params={"logits": inputs[0]})  # TVM logs for constants
    model.save(tmp_path / "model.so")
    tvm_book.load(tmp_path / "model.so")
    assert capfd.readouterr() == ("", "")

    def load(path):
        os.write(2, b"a message\n")
        raise RuntimeError("and an error")

    monkeypatch.setattr(tvm.runtime, "load_module", load)
    with pytest.raises(ValueError, match="and an error"):
        tvm_book.load(tmp_path / "model.so")
    os.write(2, b"another\n")
    assert capfd.readouterr() == ("", "a message\nanother\n")


@needs_linker
def test_one_file_that_tvm_itself_loads(saved, inputs, model):
    assert [path.name for path in saved.parent.iterdir()] == ["model.so"]
    machine = tvm.relax.VirtualMachine(tvm.runtime.load_module(str(saved)), tvm.cpu())
    tensors = [tvm.runtime.tensor(np.asarray(value)) for value in inputs]
    assert machine["main"](*tensors)[0].numpy().tobytes() == model(*inputs)[0].tobytes()


@needs_linker
def test_overwriting_only_when_told(model, tmp_path, inputs):
    path = tmp_path / "model.so"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save(path)
    assert path.read_text() == "precious"
    model.save(path, overwrite=True)
    first = tvm_book.load(path)
    other = tvm_book.compile(Softmax, params={"scale": np.float32(2)})
    other.save(path, overwrite=True)
    assert len(tvm_book.load(path).inputs) == 1
    assert equal(first(*inputs), model(*inputs))  # still works after its file was replaced


@needs_linker
def test_relative_paths(model, tmp_path, monkeypatch, inputs):
    monkeypatch.chdir(tmp_path)
    model.save("here.so")
    assert equal(tvm_book.load("here.so")(*inputs), model(*inputs))


def test_paths_that_cannot_be_written(model, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.so: 'model.bin' does not"):
        model.save(tmp_path / "model.bin")
    with pytest.raises(FileNotFoundError, match="no folder .*missing: create it first"):
        model.save(tmp_path / "missing" / "model.so")
    (tmp_path / "folder.so").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        model.save(tmp_path / "folder.so")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.so"]


@pytest.mark.parametrize("compiler", [None, "no-such-compiler", "false"])
def test_without_a_working_compiler(model, tmp_path, monkeypatch, compiler):
    monkeypatch.setattr(cc, "get_cc", lambda: compiler)
    path = tmp_path / "model.so"
    path.write_text("precious")
    message = "needs a C\\+\\+ compiler.*apt install" if compiler is None else "could not link"
    with pytest.raises(RuntimeError, match=message):
        model.save(path, overwrite=True)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


@needs_linker
def test_a_loaded_model_is_copied_as_a_file(saved, tmp_path):
    with pytest.raises(ValueError, match="copy that file instead"):
        tvm_book.load(saved).save(tmp_path / "again.so")


def test_files_that_are_no_models(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*nothing\.so"):
        tvm_book.load(tmp_path / "nothing.so")
    with pytest.raises(IsADirectoryError, match="not a saved model"):
        (tmp_path / "folder.so").mkdir()
        tvm_book.load(tmp_path / "folder.so")
    with pytest.raises(ValueError, match=r"must end in \.so"):
        tvm_book.load(tmp_path / "model.json")
    for content in (b"", b"hello", b"\x7fELF" + bytes(5000)):
        path = tmp_path / "foreign.so"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="was not written by CompiledModel.save"):
            tvm_book.load(path)


@needs_linker
def test_damaged_files_are_not_opened(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(tvm.runtime, "load_module", lambda _: pytest.fail("opened"))
    content = saved.read_bytes()
    damaged = {
        "cut short": content[: len(content) // 2],
        "was not written": content[:-1],
        "damaged": content[:1000] + bytes([content[1000] ^ 1]) + content[1001:],
        "is damaged": content[5000:],
    }
    for message, data in damaged.items():
        path = tmp_path / "damaged.so"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=message):
            tvm_book.load(path)


@needs_linker
def test_a_library_that_does_not_fit_here(saved, monkeypatch):
    def refuse(_):
        raise RuntimeError("wrong version")

    monkeypatch.setattr(tvm.runtime, "load_module", refuse)
    with pytest.raises(ValueError, match=r"saved with TVM 0\..*compile and save.*wrong version"):
        tvm_book.load(saved)


@needs_linker
@pytest.mark.skipif(
    not codegen.llvm_get_system_triple().startswith("x86_64"), reason="names a CPU of x86"
)
def test_code_for_a_newer_cpu_is_refused(saved, monkeypatch):
    needed = json.loads(_library.read(saved)["target"])
    features = codegen.llvm_get_cpu_features(tvm.target.Target(needed))
    if "avx2" not in features:
        pytest.skip("this CPU has nothing that the oldest one lacks")
    monkeypatch.setattr(codegen, "llvm_get_system_cpu", lambda: "nehalem")
    with pytest.raises(ValueError, match="compiled for another CPU.* lacks .*avx2"):
        tvm_book.load(saved)


def rewritten(path, **changes):
    """A saved file whose description says something else."""
    content = path.read_bytes()[: -_library._FOOTER.size]
    description = _library.read(path)
    library = content[: -len(json.dumps(description).encode())]
    text = json.dumps({**description, **changes}).encode()
    digest = hashlib.sha256(library + text).digest()
    other = path.with_name("rewritten.so")
    other.write_bytes(library + text + _library._FOOTER.pack(len(text), digest, _library.MAGIC))
    return other


@needs_linker
def test_what_kernels_need_is_asked_before_the_library_is_opened(saved, monkeypatch):
    assert tvm_book.load(rewritten(saved)).isa == _library.read(saved)["isa"]
    monkeypatch.setattr(tvm.runtime, "load_module", lambda _: pytest.fail("opened"))
    needs = [*_library.read(saved)["needs"], "no-such-instruction"]
    with pytest.raises(ValueError, match=r"its kernels for future: .* lacks no-such-instruction"):
        tvm_book.load(rewritten(saved, isa="future", needs=needs))
    if "amx-int8" not in codegen.llvm_get_cpu_features(HOST):
        with pytest.raises(ValueError, match="lacks amx-int8"):
            tvm_book.load(rewritten(saved, isa="amx", needs=[*needs[:-1], "amx-int8"]))
        target = json.dumps({"kind": "llvm", "mcpu": "sapphirerapids"})
        with pytest.raises(ValueError, match="lacks amx-bf16, amx-int8"):
            tvm_book.load(rewritten(saved, kernel_target=target))


@needs_linker
def test_a_system_that_forbids_the_instructions(saved, monkeypatch):
    name = _library.read(saved)["isa"]
    forbidden = dataclasses.replace(LEVELS[name], refusal=lambda: "the system says no")
    monkeypatch.setitem(LEVELS, name, forbidden)
    with pytest.raises(ValueError, match="compiled for another CPU.*the system says no"):
        tvm_book.load(saved)


@needs_linker
def test_files_of_the_first_format_are_told_apart(saved, tmp_path):
    old = tmp_path / "old.so"
    old.write_bytes(saved.read_bytes()[:-1] + b"1")
    with pytest.raises(ValueError, match="was not written by CompiledModel.save of this version"):
        tvm_book.load(old)


@pytest.fixture(scope="module")
def quantized():
    rng = np.random.default_rng(0)
    builder = tvm.relax.BlockBuilder()
    x = tvm.relax.Var("x", tvm.relax.TensorType((1, 4), "float32"))
    with builder.function("main", [x]):
        w = tvm.relax.const(rng.standard_normal((4, 3)).astype("float32"))
        _ = builder.emit_func_output(builder.emit(tvm.relax.op.matmul(x, w)))
    data = [{"x": rng.standard_normal((1, 4)).astype("float32")} for _ in range(4)]
    mod = builder.get()
    return mod, quantize.quantize(mod, dataset=data, config=QConfig(preset="accurate")), data


@needs_linker
def test_a_saved_model_keeps_its_recipe(quantized, tmp_path):
    mod, qmod, data = quantized
    run = tvm_book.compile(qmod)
    assert run.recipe is Recipe.of(qmod)
    run.save(tmp_path / "model.so")
    loaded = tvm_book.load(tmp_path / "model.so")
    assert loaded.recipe.to_bytes() == Recipe.of(qmod).to_bytes()
    again = tvm_book.compile(loaded.recipe.apply(mod))
    assert again(**data[0]).tobytes() == loaded(**data[0]).tobytes() == run(**data[0]).tobytes()


@needs_linker
def test_a_loaded_model_reads_its_recipe_only_when_asked(quantized, tmp_path):
    _, qmod, _ = quantized
    tvm_book.compile(qmod).save(tmp_path / "model.so")
    program = (
        "import sys, numpy, tvm_book; run = tvm_book.load(sys.argv[1]); "
        "run(x=numpy.zeros((1, 4), 'float32')); "
        "print('safetensors' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "model.so")]
    done = subprocess.run(command, cwd=FOLDER, check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_a_float_model_has_no_recipe(model):
    assert model.recipe is None


@needs_linker
def test_a_saved_float_model_has_no_recipe(saved):
    assert tvm_book.load(saved).recipe is None
