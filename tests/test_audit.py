"""An audit names what is wrong with weights, and which known mistake explains a network that answers otherwise."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import minicnn
from minicnn import models, nn
from minicnn.errors import LoadError
from minicnn.inspect import audit, stage_outputs
from minicnn.models.resnet import Residual
from parity.seeded import seeded_images, seeded_model

SMALL = {
    "resnet50": {"width": 0.125, "num_classes": 10, "size": 64},
    "mobilenet": {"width": 0.25, "num_classes": 10, "size": 65},
    "inception_v3": {"width": 0.125, "num_classes": 10, "size": 107, "include_top": False},
    "vgg11": {"width": 0.0625, "num_classes": 10},
    "alexnet": {"width": 0.0625, "num_classes": 10},
}


def of(model, *kinds):
    return [m for m in model.modules() if isinstance(m, kinds)]


def saved(model, path):
    np.savez(path, **model.state_dict())
    return path


def reference(model, path, change=lambda model: None, **others):
    """Save what the changed network answers."""
    change(model)
    size = others.pop("size", model.size)
    np.savez(path, **stage_outputs(model, seeded_images(1, size)), **others)
    return path


@pytest.fixture
def audited(tmp_path):
    """Audit a small network's own weights beside a reference that the network gave after a change."""

    def run(name, change, **more):
        model = seeded_model({"name": name, **SMALL[name], **more})
        weights = saved(model, tmp_path / "w.npz")
        # The options that a file cannot tell are given by its metadata: it is written as ours.
        out = tmp_path / "w.safetensors"
        options = {key: value for key, value in model.config.items() if key not in ("name", "form")}
        facts = {"minicnn": "1", "model": name, "form": model.form.name, "options": json.dumps(options)}
        save_file(dict(np.load(weights)), out, facts)
        return audit(name, out, against=reference(model, tmp_path / "golden.npz", change))

    return run


def test_agreement(audited):
    report = audited("resnet50", lambda model: None)
    assert report.ok
    assert report.departs is None
    assert str(report).endswith("\nsound")


def strides_first(model):
    for block in of(model, Residual):
        first, second = of(block.layers, nn.Conv2d)[:2]
        first.stride, second.stride = second.stride, first.stride


def eps(value):
    def change(model):
        for norm in of(model, nn.BatchNorm2d):
            norm.eps = value

    return change


def symmetric(model):
    for layer in of(model, nn.DepthwiseConv2d):
        if max(layer.stride) > 1:
            layer.padding = 1


def without_border(model):
    for layer in of(model, nn.AvgPool2d):
        layer.count_include_pad = not layer.count_include_pad


def bgr(model):
    conv = of(model, nn.Conv2d)[0]
    nn.init.fill(conv.weight, conv.weight.array[:, ::-1].copy())


def channels_last(model):
    linear = of(model, nn.Linear)[0]
    out, count = linear.weight.shape
    side = {"vgg11": 7, "alexnet": 6}[model.name]
    maps = linear.weight.array.reshape(out, side, side, count // side**2)
    nn.init.fill(linear.weight, maps.transpose(0, 3, 1, 2).reshape(out, count).copy())


CAUSES = {
    "stride": ("resnet50", strides_first, "conv3_x", "the stride in a block's first 1x1 convolution"),
    "eps": ("resnet50", eps(1e-3), "conv1", "eps = 0.001 in batch norms"),
    "pad side": ("mobilenet", symmetric, "separable2", "strided convolutions padded"),
    "average count": (
        "inception_v3",
        without_border,
        "mixed_5b",
        "means at the border that leave the zeros outside out",
    ),
    "BGR": ("resnet50", bgr, "conv1", "the colours in the other order (BGR for RGB)"),
    "flatten order": ("vgg11", channels_last, "fc1", "weights that were turned round for channels last"),
    "flatten order of AlexNet": ("alexnet", channels_last, "fc6", "weights that were turned round for channels last"),
}


@pytest.mark.parametrize(("name", "change", "stage", "cause"), CAUSES.values(), ids=CAUSES)
def test_a_known_mistake_is_named(audited, name, change, stage, cause):
    report = audited(name, change)
    assert not report.ok
    assert report.departs.startswith(f"{stage} departs by")
    assert len(report.causes) == 1
    assert report.causes[0].startswith(cause)
    assert f"  it agrees with {report.causes[0]}" in str(report)


def test_two_mistakes_together(audited):
    def both(model):
        bgr(model)
        strides_first(model)

    report = audited("resnet50", both)
    assert report.departs.startswith("conv1 departs")
    assert set(report.causes) == {CAUSES["BGR"][3], CAUSES["stride"][3]}


def test_a_mistake_that_nobody_knows(audited):
    report = audited("resnet50", lambda model: nn.init.fill(model.conv3_x.block1.layers.conv2.conv.weight, 0.0))
    assert report.departs.startswith("conv3_x departs")
    assert report.causes == ()
    assert "no known cause" in str(report)


def test_the_network_is_as_it_was_after_trying(tmp_path):
    """Nothing of what was tried stays: the same audit twice says the same, whose network is one object here."""
    from minicnn.inspect.audit import _compare, _reference

    model = seeded_model({"name": "resnet50", **SMALL["resnet50"]})
    images = seeded_images(1, 64)
    before = stage_outputs(model, images)["logits"]
    path = tmp_path / "g.npz"
    np.savez(path, images=images, logits=before + 1)
    model.eval()
    assert _compare(path, model, _reference(path, model))[1] == ()
    np.testing.assert_array_equal(stage_outputs(model, images)["logits"], before)


# ----------------------------------------------------------------------------------------- the numbers alone


def change_of(name, key, function):
    model = seeded_model({"name": name, **SMALL[name]})
    state = model.state_dict()
    state[key] = function(state[key])
    return state


BN = "conv1.norm"
WRONG = {
    "NaN": (
        f"{BN}.weight",
        lambda a: np.where(np.arange(len(a)) == 2, np.nan, a),
        "1 numbers that are NaN or infinite",
    ),
    "negative variance": (f"{BN}.running_var", lambda a: -a, f"{BN}: the running variance is negative in"),
    "no variance": (f"{BN}.running_var", lambda a: 0 * a, f"{BN}: the running variance is 0 everywhere"),
    "constant": ("conv2_x.block1.layers.conv1.conv.weight", lambda a: 0 * a + 1, "is 1 everywhere"),
    "another shape": (f"{BN}.weight", lambda a: a[:-1], "another shape (1)"),
}


@pytest.mark.parametrize(("key", "function", "saying"), WRONG.values(), ids=WRONG)
def test_numbers_that_make_no_sense(tmp_path, key, function, saying):
    state = change_of("resnet50", key, lambda a: function(a).astype(np.float32))
    np.savez(tmp_path / "w.npz", **state)
    report = audit("resnet50", tmp_path / "w.npz")
    assert not report.ok
    assert saying in str(report)
    assert str(report).endswith("\nnot sound")


def test_mean_and_variance_that_changed_places(tmp_path):
    state = change_of("resnet50", "conv1.norm.bias", lambda a: a)
    state["conv1.norm.running_mean"], state["conv1.norm.running_var"] = (
        state["conv1.norm.running_var"], state["conv1.norm.running_mean"],
    )  # fmt: skip
    np.savez(tmp_path / "w.npz", **state)
    assert "changed places" in str(audit("resnet50", tmp_path / "w.npz"))


def test_a_network_that_was_never_trained(tmp_path):
    report = audit("resnet50", saved(models.create("resnet50", **SMALL["resnet50"]), tmp_path / "w.npz"))
    assert "it was never trained" in str(report)


def test_a_reference_that_is_none(tmp_path):
    weights = saved(seeded_model({"name": "resnet50", **SMALL["resnet50"]}), tmp_path / "w.npz")
    np.savez(tmp_path / "g.npz", conv1=np.zeros(3))
    with pytest.raises(LoadError, match=r"must hold `images` and at least one of conv1, conv2_x, .*; it has conv1"):
        audit("resnet50", weights, against=tmp_path / "g.npz")
    np.savez(tmp_path / "g.npz", images=np.zeros((1, 1, 64, 64), np.float32), conv1=np.zeros(3))
    with pytest.raises(LoadError, match=r"g\.npz: .*must have C = 3 channels"):
        audit("resnet50", weights, against=tmp_path / "g.npz")


def test_stage_outputs_leave_the_network_as_it_was():
    model = models.create("lenet5").train()
    outputs = stage_outputs(model, np.zeros((1, 1, 32, 32), np.float32))
    assert model.training
    with minicnn.no_grad():
        np.testing.assert_array_equal(outputs["logits"], outputs["output"])
    assert "C1" in outputs
