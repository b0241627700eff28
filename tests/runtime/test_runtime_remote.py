"""Models on another machine: the same bits over a socket, and no process left behind."""

import dataclasses
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import tvm
from torch import nn
from tvm import rpc
from tvm.script import ir as I
from tvm.script import relax as R
from tvm.support import cc

import tvm_book
from tvm_book import backend, quantize, runtime
from tvm_book.frontend import from_pytorch
from tvm_book.runtime import _remote
from tvm_book.runtime.server import LocalServer, main

FOLDER = Path(tvm_book.__file__).parents[1]
SHAPE = (1, 3, 16, 16)


def sockets_are_forbidden():
    try:
        with socket.create_server(("127.0.0.1", 0)):
            return False
    except OSError:
        return True


pytestmark = [
    pytest.mark.skipif(cc.get_cc() is None, reason="linking needs a C++ compiler"),
    pytest.mark.skipif(sockets_are_forbidden(), reason="no socket may listen here"),
]


@I.ir_module
class Nested:
    @R.function
    def main(x: R.Tensor((2, 3), "float32"), n: R.Tensor((), "int32")):
        with R.dataflow():
            y = R.exp(x)
            out = ((y, R.astype(R.sum(x), "int32")), R.add(n, R.const(1, "int32")))
            R.output(out)
        return out


@pytest.fixture(scope="module")
def server():
    with LocalServer() as found:
        yield found


@pytest.fixture
def session(server):
    return rpc.connect(server.host, server.port, session_timeout=120)


@pytest.fixture(scope="module")
def model():
    layers = [nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.Flatten()]
    mod, params = from_pytorch(nn.Sequential(*layers).eval(), [("data", SHAPE)])
    config = quantize.QConfig(preset="accurate", calibrate_mode="minmax", bias_correction=False)
    return tvm_book.compile(quantize.quantize(mod, params, [{"data": image()}], config))


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("remote") / "model.so"
    model.save(path)
    return path


def image(seed=0):
    return np.random.default_rng(seed).standard_normal(SHAPE).astype("float32")


def test_the_same_bits_come_back(model, saved, session):
    remote = runtime.upload(str(saved), session)
    for seed in range(3):
        assert remote(image(seed)).tobytes() == model(data=image(seed)).tobytes()
    assert remote(data=image()[:, ::-1][:, ::-1]).tobytes() == model(image()).tobytes()
    assert (remote.inputs, remote.outputs, remote.isa) == (model.inputs, model.outputs, model.isa)
    assert repr(remote).splitlines()[1:] == repr(model).splitlines()[1:]


def test_outputs_are_nested_as_the_model_nests_them(tmp_path, session):
    local = tvm_book.compile(Nested)
    local.save(tmp_path / "nested.so")
    x, n = np.float32([[1, 2, 3], [4, 5, 6]]), np.int32(41)
    (y, total), more = runtime.upload(tmp_path / "nested.so", session)(n=n, x=x)
    assert y.tobytes() == local(x, n)[0][0].tobytes()
    assert (total, more, more.dtype, more.shape) == (21, 42, "int32", ())


def test_several_models_in_one_session(model, saved, session):
    """A file that is in use must not be written over: the running code would change."""
    first, second = (runtime.upload(saved, session, threads=n) for n in (1, None))
    assert first.threads == 1
    assert first(image()).tobytes() == second(image()).tobytes() == model(image()).tobytes()


def test_threads_are_those_of_the_other_machine(saved, session):
    cores = backend.available_threads()
    assert runtime.upload(saved, session, threads=10**6).threads == cores
    assert runtime.upload(saved, session).threads == min(backend.default_threads(), cores)
    with pytest.raises(ValueError, match="threads must be an integer of at least 1"):
        runtime.upload(saved, session, threads=0)


def test_inputs_are_checked_before_anything_is_sent(saved, session):
    remote = runtime.upload(saved, session)
    with pytest.raises(ValueError, match=r"must have shape \(1, 3, 16, 16\), not \(1, 1, 16, 16\)"):
        remote(image()[:, :1])
    with pytest.raises(TypeError, match="did you mean 'data'"):
        remote(date=image())
    with pytest.raises(TypeError, match="must be float32, not float64"):
        remote.benchmark(image().astype("float64"))


def test_benchmark_counts_calls_over_there(saved, session):
    remote = runtime.upload(saved, session, threads=1)
    times = remote.benchmark(image(), repeat=3, number=7)
    assert len(times.samples) == 3 and times.number == 7
    start = time.perf_counter()
    many = remote.benchmark(image(), repeat=1, number=200, warmup=0)
    elapsed = time.perf_counter() - start
    # TVM's timer makes one more call, untimed, before each sample.
    assert 0 < many.samples[0] * 200 < elapsed * 1e3
    with pytest.raises(ValueError, match="repeat must be an integer of at least 1"):
        remote.benchmark(image(), repeat=0)


def test_what_the_other_cpu_lacks_is_said_before_loading(model, tmp_path, session):
    code = dataclasses.replace(model._code, isa="quantum", needs=("avx1024",))
    runtime.CompiledModel(model._executable, model.inputs, model.outputs, code).save(
        tmp_path / "demanding.so"
    )
    with pytest.raises(ValueError, match="cannot run over there, .* quantum: .* lacks avx1024"):
        runtime.upload(tmp_path / "demanding.so", session)


def test_files_that_are_no_models_are_not_sent(saved, tmp_path, session):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        runtime.upload(tmp_path / "none.so", session)
    damaged = bytearray(saved.read_bytes())
    damaged[1000] ^= 1
    (tmp_path / "damaged.so").write_bytes(damaged)
    with pytest.raises(ValueError, match="is damaged: its checksum"):
        runtime.upload(tmp_path / "damaged.so", session)


def test_a_server_without_tvm_book_is_recognised(saved, session, monkeypatch):
    monkeypatch.setattr(_remote, "CANNOT_RUN", "a function that nobody registered")
    with pytest.raises(ValueError, match="start it with python -m tvm_book.runtime.server"):
        runtime.upload(saved, session)


def test_what_does_not_load_there_is_an_error_with_the_versions(saved, session, monkeypatch):
    def refuse(name):
        raise RuntimeError(f"undefined symbol in {name}")

    monkeypatch.setattr(session, "load_module", refuse)
    with pytest.raises(ValueError, match=f"saved with TVM {tvm.__version__}, .* undefined symbol"):
        runtime.upload(saved, session)


def family(pid):
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def assert_ended(processes):
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_a_taken_port_is_passed_over_and_closing_ends_all_processes(saved, model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with LocalServer(min(port, 65000)) as server:
            assert port <= 65000 or server.port != port
            session = rpc.connect(server.host, server.port, session_timeout=60)
            remote = runtime.upload(saved, session)
            assert remote(image()).tobytes() == model(image()).tobytes()
            processes = family(server._process.pid)
            assert len(processes) == 3  # the server, TVM's worker, the session
        assert_ended(processes)
        server.close()  # once more does no harm
    with pytest.raises(Exception, match="kShutdown|closed|Connection"):  # at once: nothing hangs
        remote(image())


def test_nothing_survives_a_client_that_is_killed():
    program = (
        "import os, psutil; from tvm import rpc; "
        "from tvm_book.runtime.server import LocalServer; server = LocalServer(); "
        "session = rpc.connect(server.host, server.port); "
        "print(*[p.pid for p in psutil.Process().children(recursive=True)], flush=True); "
        "os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True)
    pids = [int(pid) for pid in run.stdout.split()]
    assert len(pids) == 3, run.stderr
    assert_ended([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_survives_a_server_that_is_ended(number):
    command = [sys.executable, "-m", "tvm_book.runtime.server"]
    process = subprocess.Popen(
        command, cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline().startswith("listening on 127.0.0.1:")
        processes = family(process.pid)
        process.send_signal(number)
        assert process.wait(20) == (0 if number != signal.SIGKILL else -number)
        assert_ended(processes[1:])
        assert process.stderr.read() == ""


def test_a_server_that_does_not_start():
    with pytest.raises(RuntimeError, match="the server did not start: .*port must be 0-65535"):
        LocalServer(port=70000)
    before = {p.pid for p in psutil.Process(os.getpid()).children()}
    with pytest.raises(TimeoutError, match="did not start within 0.01 s: raise timeout="):
        LocalServer(timeout=0.01)
    assert {p.pid for p in psutil.Process(os.getpid()).children()} <= before


@pytest.mark.parametrize("missing", ["cloudpickle", "psutil"])
def test_packages_that_tvm_only_suggests_are_asked_for(missing, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == missing else find(n))
    with pytest.raises(SystemExit, match=rf'needs {missing}: pip install "tvm-book\[rpc\]"'):
        main([])
