import numpy as np
import pytest
import torch
from contest import memory, networks, runner
from contest.table import Contestant

from tvm_book.testing import digits

FAKE = """
import os, time
from contest.torch_ import convert, predictor
kept = []

def quantize(model, batches, options):
    if len(batches[0]) == 2:  # the tiny network that warms up
        return model
    if "raise" in options:
        raise ValueError(options["raise"])
    if "sleep" in options:
        time.sleep(options["sleep"])
    if "abort" in options:
        os.abort()
    kept.append(bytearray(b"x") * options.get("bytes", 0))
    return model
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Untrained weights and random images, and a module that fails as it is told."""
    (tmp_path / "fake.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    torch.manual_seed(0)
    torch.save(digits.NETWORKS["resnet"].make().state_dict(), tmp_path / "weights.pt")
    rng = np.random.default_rng(0)
    calibration, test = rng.uniform(0, 16, (2, 200, 1, 8, 8)).astype("float32")
    np.savez(tmp_path / "data.npz", calibration=calibration, test=test)
    paths = {"weights": str(tmp_path / "weights.pt"), "data": str(tmp_path / "data.npz")}
    return {"network": "resnet", "threads": 1, **paths}


def test_a_contestant_is_measured(job):
    contestant = Contestant("fake", {"bytes": 2**26})
    record, logits = runner.compete("fake/good", contestant, job, repeat=2)
    assert record["contestant"] == "fake/good"
    assert record["framework"] == "fake"
    assert record["network"] == "resnet"
    assert record["status"] == "ok"
    assert record["repeat"] == 2
    assert record["reproducible"] is True
    assert record["seconds"] == pytest.approx(record["convert_s"] + record["quantize_s"])
    model = networks.load("resnet", job["weights"])
    with np.load(job["data"]) as data, torch.no_grad():
        expected = model(torch.from_numpy(data["test"])).numpy()
    # Batches of 100 there, one of 200 here, another order of sums.
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)
    if record["rss_before_mib"] is not None:  # 64 MiB were kept; the rest of the process moves less
        assert record["rss_peak_mib"] - record["rss_before_mib"] == pytest.approx(64, abs=16)


@pytest.mark.parametrize(
    ("options", "limit_s", "note"),
    [
        ({"raise": "out of luck"}, 600, "ValueError: out of luck"),
        ({"abort": True}, 600, "ended by SIGABRT"),
        ({"sleep": 600}, 3, "took longer than 3 s"),
    ],
)
def test_a_failure_is_a_result(job, options, limit_s, note):
    record, logits = runner.compete("fake/bad", Contestant("fake", options), job, limit_s=limit_s)
    assert logits is None
    assert record["status"] == "failed"
    assert record["note"] == note


def test_a_peer_that_is_not_installed_is_no_failure(job):
    contestant = Contestant("fake", needs=("numpy", "no_such_peer"))
    record, logits = runner.compete("fake/absent", contestant, job)
    assert logits is None
    assert record["status"] == "not installed"
    assert record["note"] == "not installed: pip install .[bench] (lacks no_such_peer)"


def test_the_peak_forgets():
    if memory.resident_mib() is None:
        pytest.skip("this system does not say how much memory a process holds now")
    block = bytearray(b"x") * 2**27
    high = memory.peak_mib()
    del block
    memory.forget_peak()
    assert memory.peak_mib() < high - 100  # of 128 MiB


def test_weights_are_trained_once(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 17, (60, 8, 8)), rng.integers(0, 10, 60)
    parts = digits.split(images, labels, held_back=10, calibration=10)
    quick = digits.NETWORKS["resnet"]._replace(epochs=1)
    monkeypatch.setitem(digits.NETWORKS, "resnet", quick)
    path = networks.trained("resnet", parts, tmp_path)
    monkeypatch.setattr(digits, "train", None)  # would fail if it were called
    assert networks.trained("resnet", parts, tmp_path) == path
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(TypeError):
        networks.trained("resnet", parts, tmp_path, seed=1)
    with pytest.raises(TypeError):
        networks.trained("resnet", digits.split(images[::-1], labels, 10, 10), tmp_path)


def test_loaded_weights_are_those_that_were_trained(tmp_path):
    torch.manual_seed(0)
    model = digits.NETWORKS["vit"].make().eval()
    torch.save(model.state_dict(), tmp_path / "w.pt")
    loaded = networks.load("vit", tmp_path / "w.pt")
    assert not loaded.training
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(loaded(images), model(images))
