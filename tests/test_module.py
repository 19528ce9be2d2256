"""Module: what it owns, how it runs, how it is saved, what its errors say."""

import copy

import numpy as np
import pytest

import minicnn
from minicnn import nn
from minicnn.errors import DTypeError, GraphError, OptionError, OutOfRangeError, ShapeError, StateError


def net() -> nn.Sequential:
    minicnn.manual_seed(1)
    stages = {
        "body": nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)),
        "flat": nn.Flatten(),
        "head": nn.Linear(8, 3),
    }
    return nn.Sequential(stages)


IMAGES = np.random.default_rng(0).standard_normal((5, 1, 4, 4)).astype(np.float32)
PARAMETERS = ["body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias", "head.weight", "head.bias"]
BUFFERS = ["body.1.running_mean", "body.1.running_var"]


# ----------------------------------------------------------------------------------------- what it owns


def test_names_follow_the_tree_in_the_order_of_setting():
    model = net()
    assert [name for name, _ in model.named_parameters()] == PARAMETERS
    assert [name for name, _ in model.named_buffers()] == BUFFERS
    assert [name for name, _ in model.named_modules()] == ["", "body", "body.0", "body.1", "flat", "head"]
    assert [name for name, _ in model.named_children()] == ["body", "flat", "head"]
    assert sum(p.size for p in model.parameters()) == 20 + 4 + 27


def test_what_is_shared_counts_once():
    layer = nn.Linear(3, 3)
    model = nn.Sequential({"a": layer, "b": layer})
    assert [name for name, _ in model.named_parameters()] == ["a.weight", "a.bias"]
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    assert sum(p.size for p in tied.parameters()) == 9 + 3 + 3


def test_a_replaced_stage_keeps_its_place():
    model = net()
    model.head = nn.Linear(8, 7)
    assert model(IMAGES).shape == (5, 7)
    model.body = nn.Identity()
    assert [name for name, _ in model.named_children()] == ["body", "flat", "head"]


@pytest.mark.parametrize("container", [list, tuple, lambda items: dict(enumerate(items))])
def test_modules_hidden_in_a_container_are_refused(container):
    module = nn.Module()
    with pytest.raises(OptionError, match="of their own, or stand in a Sequential"):
        module.layers = container([nn.ReLU()])
    with pytest.raises(OptionError, match="of their own"):
        module.weights = container([nn.Parameter([1.0])])


def test_register_buffer_is_setting_a_buffer():
    module = nn.Module()
    module.register_buffer("mean", np.array([1.0, 2.0]))
    assert list(module.state_dict()) == ["mean"]
    assert module.mean.dtype == np.float64
    assert list(module.parameters()) == []


def test_parameters_are_trained_and_buffers_are_not():
    model = net()
    model(IMAGES).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert all(b.grad is None for b in model.buffers())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_a_frozen_parameter_gets_no_gradient():
    model = nn.Linear(2, 1)
    model.weight.requires_grad = False
    model(np.ones((1, 2), np.float32)).sum().backward()
    assert model.weight.grad is None
    assert model.bias.grad is not None


def test_parameters_of_integers_are_refused():
    with pytest.raises(DTypeError, match="float32 and float64"):
        nn.Parameter(np.arange(3))


def test_a_deep_copy_is_independent():
    model = net()
    twin = copy.deepcopy(model)
    nn.init.fill(twin.head.weight, 0.0)
    assert not twin.head.weight.numpy().any()
    assert model.head.weight.numpy().all()


# ----------------------------------------------------------------------------------------- running it


def test_train_and_eval_reach_every_module():
    model = net()
    assert all(module.training for module in model.modules())
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    before = model.state_dict()
    first = model(IMAGES).numpy()
    np.testing.assert_array_equal(model(IMAGES[:2]).numpy(), first[:2])  # the batch no longer matters
    np.testing.assert_array_equal(model.state_dict()["body.1.running_mean"], before["body.1.running_mean"])
    model.train()(IMAGES)
    assert (model.state_dict()["body.1.running_mean"] != before["body.1.running_mean"]).all()


def test_astype_converts_floats_and_forgets_gradients():
    model = net()
    model.register_buffer("steps", np.array([3]))
    model(IMAGES).sum().backward()
    assert model.astype(np.float64) is model
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float64)}
    assert {b.dtype for b in model.buffers()} == {np.dtype(np.float64), np.dtype(np.int64)}
    assert all(p.grad is None for p in model.parameters())
    out = model(IMAGES.astype(np.float64))
    assert out.dtype == np.float64
    out.sum().backward()
    assert model.head.weight.grad.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float16, np.int32, "complex128"])
def test_astype_refuses_other_types(dtype):
    with pytest.raises(DTypeError, match="astype: dtype must be float32 or float64"):
        net().astype(dtype)


def test_hooks_see_and_may_change_what_flows():
    relu, seen = nn.ReLU(), []
    x = np.float32([-1.0, 2.0])
    watch = relu.register_forward_hook(lambda module, inputs, output: seen.append((module, inputs, output)))
    out = relu(x)
    assert seen[0][0] is relu
    assert seen[0][1][0] is x
    assert seen[0][2] is out
    with relu.register_forward_pre_hook(lambda module, inputs: -inputs[0]):
        np.testing.assert_array_equal(relu(x).numpy(), [1.0, 0.0])
    with relu.register_forward_hook(lambda module, inputs, output: output * 10.0):
        np.testing.assert_array_equal(relu(x).numpy(), [0.0, 20.0])
    assert len(seen) == 3
    watch.remove()
    watch.remove()
    np.testing.assert_array_equal(relu(x).numpy(), [0.0, 2.0])
    assert len(seen) == 3


# ----------------------------------------------------------------------------------------- where an error arose


def message(model, x) -> str:
    with pytest.raises(ShapeError) as caught:
        model(x)
    return str(caught.value)


BAD = np.zeros((2, 9), np.float32)


def test_errors_name_the_stage():
    model = nn.Sequential({"features": nn.Sequential(nn.Identity(), nn.Sequential({"fc": nn.Linear(3, 3)}))})
    assert message(model, BAD).startswith("in Sequential.features[1].fc: linear: input.shape[-1] must equal")
    model.name = "tiny"
    assert message(model, BAD).startswith("in tiny.features[1].fc: linear: ")
    assert message(model.features, BAD).startswith("in Sequential[1].fc: linear: ")
    assert message(nn.Linear(3, 3), BAD).startswith("in Linear: linear: ")


def test_errors_name_a_named_network_by_its_place_in_another():
    inner = nn.Sequential({"fc": nn.Linear(3, 3)})
    inner.name = "inner"
    assert message(nn.Sequential({"trunk": inner}), BAD).startswith("in Sequential.trunk.fc: linear: ")


class CallsDeep(nn.Module):
    """Reaches over its children's heads."""

    def __init__(self):
        self.block = nn.Sequential({"fc": nn.Linear(3, 3)})

    def forward(self, input):
        return self.block.fc(input)


def test_errors_find_a_stage_two_levels_down():
    assert message(CallsDeep(), BAD).startswith("in CallsDeep.block.fc: linear: ")


def test_an_error_raised_twice_is_told_twice_alike():
    model = nn.Sequential({"fc": nn.Linear(3, 3)})
    assert message(model, BAD) == message(model, BAD)


# ----------------------------------------------------------------------------------------- state


def test_state_dict_holds_copies():
    model = net()
    state = model.state_dict()
    assert list(state) == PARAMETERS + BUFFERS
    assert all(type(array) is np.ndarray for array in state.values())
    before = state["head.weight"].copy()
    nn.init.fill(model.head.weight, 0.0)
    np.testing.assert_array_equal(state["head.weight"], before)


def test_state_goes_from_one_network_to_another():
    one, two = net().eval(), net().eval()
    nn.init.fill(one.body[1].running_mean, [3.0, 4.0])
    nn.init.fill(one.head.weight, 0.5)
    report = two.load_state_dict(one.state_dict())
    assert report.ok
    assert report.loaded == PARAMETERS + BUFFERS
    np.testing.assert_array_equal(one(IMAGES).numpy(), two(IMAGES).numpy())


def misfits() -> dict:
    state = {name: np.full_like(array, 7) for name, array in net().state_dict().items()}
    state["module.head.weight"] = state.pop("head.weight")
    state["nonsense"] = np.zeros(11, np.float32)
    state["body.0.bias"] = state["body.0.bias"][:1]
    state["body.1.weight"] = state["body.1.weight"].astype(np.float64)
    state["body.1.bias"] = [0.0, 0.0]
    return state


def test_strict_loads_nothing_and_lists_everything():
    model = net()
    before = model.state_dict()
    with pytest.raises(StateError) as caught:
        model.load_state_dict(misfits())
    assert str(caught.value).splitlines() == [
        "load_state_dict: nothing was loaded into Sequential: 4 entries fit",
        "missing (1):",
        "  head.weight  (nearest: module.head.weight)",
        "unexpected (2):",
        "  module.head.weight  (nearest: head.weight)",
        "  nonsense",
        "another shape (1):",
        "  body.0.bias: expected (2,), got (1,)",
        "another dtype (2):",
        "  body.1.weight: expected float32, got float64",
        "  body.1.bias: expected float32, got a list, not an array",
    ]
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_not_strict_loads_what_fits():
    model = net()
    before = model.state_dict()
    report = model.load_state_dict(misfits(), strict=False)
    assert report.loaded == ["body.0.weight", "head.bias", *BUFFERS]
    assert report.missing == ["head.weight"]
    assert report.unexpected == ["module.head.weight", "nonsense"]
    assert report.misshapen == {"body.0.bias": ((2,), (1,))}
    assert report.mistyped.keys() == {"body.1.weight", "body.1.bias"}
    for name, array in model.state_dict().items():
        assert (array == 7).all() if name in report.loaded else (array == before[name]).all(), name


def test_state_may_come_in_any_memory_layout():
    model, state = net(), net().state_dict()
    odd = {name: np.asfortranarray(a).astype(a.dtype.newbyteorder(">")) for name, a in state.items()}
    odd["head.bias"] = np.repeat(state["head.bias"], 2)[::2]
    odd["head.weight"] = minicnn.Tensor(state["head.weight"])
    for array in odd.values():
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    model.load_state_dict(odd)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
        assert array.dtype == np.float32


def test_loading_between_forward_and_backward_is_no_silent_mistake():
    model = nn.Linear(2, 2)
    loss = (model(minicnn.Tensor(np.ones((1, 2), np.float32), requires_grad=True)) ** 2).sum()
    model.load_state_dict(model.state_dict())
    with pytest.raises(GraphError, match="changed in place"):
        loss.backward()


# ----------------------------------------------------------------------------------------- looking at it


TREE = """\
Sequential()                                                                         51
  body: Sequential()                                                                 24
    0: Conv2d(1, 2, 3)  weight (2, 1, 3, 3)  bias (2,)                               20
    1: BatchNorm2d(2)   weight (2,)  bias (2,)  running_mean (2,)  running_var (2,)   4
  flat: Flatten()
  head: Linear(8, 3)    weight (3, 8)  bias (3,)                                     27"""


def test_repr_is_a_tree_of_calls_shapes_and_counts():
    assert repr(net()) == TREE


def test_repr_shows_options_that_differ_from_the_default():
    layer = nn.Conv2d(2, 4, (3, 5), stride=2, padding="same", bias=False)
    assert repr(layer) == "Conv2d(2, 4, (3, 5), stride=2, padding='same', bias=False)  weight (4, 2, 3, 5)  120"
    assert repr(nn.MaxPool2d(2)) == "MaxPool2d(2)"
    assert repr(nn.Dropout(0.2)) == "Dropout(p=0.2)"


# ----------------------------------------------------------------------------------------- Sequential


def test_sequential_finds_stages_by_place_name_and_slice():
    model = net()
    assert model["head"] is model[2] is model[-1] is model.head
    assert len(model) == 3
    assert list(model) == [model.body, model.flat, model.head]
    trunk = model[:2]
    assert [name for name, _ in trunk.named_children()] == ["body", "flat"]
    assert trunk(IMAGES).shape == (5, 8)
    with pytest.raises(OptionError, match="stage must be one of body, flat, head, got 'haed'; did you mean 'head'"):
        model["haed"]
    with pytest.raises(IndexError):
        model[3]


@pytest.mark.parametrize(
    ("stages", "text"),
    [
        ({"a.b": nn.ReLU()}, "without a dot, got 'a.b'"),
        ({"": nn.ReLU()}, "without a dot, got ''"),
        ({"train": nn.ReLU()}, "must be new, got 'train'"),
        ({"a": np.tanh}, "stage 'a' must be a Module, got ufunc"),
    ],
)
def test_sequential_refuses_bad_stages(stages, text):
    with pytest.raises(OptionError, match=text):
        nn.Sequential(stages)


def test_flags_are_flags_and_states_are_mappings():
    net = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(OptionError, match="train: mode must be True or False, got 'no'"):
        net.train("no")
    with pytest.raises(OptionError, match="Linear: bias must be True or False, got 'no'"):
        nn.Linear(2, 2, bias="no")
    with pytest.raises(OptionError, match="MaxPool2d: ceil_mode must be True or False, got 1"):
        nn.MaxPool2d(2, ceil_mode=1)
    with pytest.raises(StateError, match="load_state_dict: state must map names to arrays, got NoneType"):
        net.load_state_dict(None)
    with pytest.raises(OutOfRangeError, match=r"Sequential: stage must lie in 0 \.\. 0 \(or be negative\), got 5"):
        net[5]
