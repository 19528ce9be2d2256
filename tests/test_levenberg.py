"""The curvature, against two computations that share nothing with it: units one by one, and real second differences."""

import numpy as np
import pytest

from minicnn import Tensor, functional, models, nn, no_grad
from minicnn.errors import OptionError
from minicnn.train import StochasticDiagonalLevenbergMarquardt
from minicnn.train.curvature import diagonal_curvature

RNG = np.random.default_rng(0)


def distance_to_the_code(outputs, labels):
    """Equation 8."""
    return outputs[np.arange(len(labels)), labels].mean()


def tiny_lenet():
    """Each kind of layer of the 1998 form: table, subsampling, squashing, RBF; float64."""
    table = np.array([[True, False], [True, True], [False, True]])
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3),  # 8 -> 6
        nn.ScaledTanh(),
        nn.Subsample2d(2),  # -> 3
        nn.ScaledTanh(),
        nn.Conv2d(2, 3, 2, table=table),  # -> 2
        nn.ScaledTanh(),
        nn.Flatten(),
        nn.Linear(12, 5),
        nn.ScaledTanh(),
        nn.RBF(np.sign(RNG.normal(size=(4, 5))).astype(np.float32)),
    )
    for p in net.parameters():
        with p.changing() as values:
            values[...] = RNG.normal(size=p.shape) * 0.4
    return net.astype("float64")


def connections(layer, x):
    """The layer as the paper's picture: u[i, j] from each input unit j to each unit i, for one image x.

    Found by asking the layer about one unit and one weight at a time. Returns U, and for each parameter (but biases)
    an array [k, i, j] that is 1 where its weight k sits on the connection, or, for biases, [k, i].
    """

    def linear_part(values):
        with no_grad():
            return np.asarray(layer.forward(values[None])).ravel()

    saved = {name: p.array.copy() for name, p in layer.named_parameters()}

    def put(name, values):
        with getattr(layer, name).changing() as array:
            array[...] = values

    units = np.eye(x.size).reshape(-1, *x.shape)
    put("bias", 0.0)
    u = np.stack([linear_part(unit) for unit in units], axis=1)
    sits = {}
    for name, values in saved.items():
        places = []
        for k in range(values.size):
            one = np.zeros(values.size)
            one[k] = 1.0
            put("weight", one.reshape(values.shape) if name == "weight" else 0.0)
            put("bias", one.reshape(values.shape) if name == "bias" else 0.0)
            if name == "weight":
                places.append(np.stack([linear_part(unit) for unit in units], axis=1))
            else:
                places.append(linear_part(np.zeros_like(x)))
        sits[name] = np.stack(places)
    for name, values in saved.items():
        put(name, values)
    return u, sits


def unit_by_unit(net, images, labels):
    """Appendix C for one image after the other; the loss is equation 8, whose second derivative by F6 is 2."""
    layers = list(net.children())[:-1]
    total = {p: np.zeros(p.shape) for p in net.parameters()}
    for image in images:
        inputs = [image]
        for layer in layers:
            with no_grad():
                inputs.append(np.asarray(layer(inputs[-1][None]))[0])
        bend = np.full(inputs[-1].size, 2.0)
        for layer, x in zip(reversed(layers), reversed(inputs[:-1]), strict=True):
            if isinstance(layer, nn.ScaledTanh):
                bend = bend * (1.7159 * 2 / 3 / np.cosh(2 * x.ravel() / 3) ** 2) ** 2
            elif not isinstance(layer, nn.Flatten):
                u, sits = connections(layer, x)
                weight = np.einsum("kij,i,j->k", sits["weight"], bend, x.ravel() ** 2)
                total[layer.weight] += weight.reshape(layer.weight.shape)
                total[layer.bias] += np.einsum("ki,i->k", sits["bias"], bend)
                bend = (u**2).T @ bend
    return {p: values / len(images) for p, values in total.items()}


def test_curvature_is_the_papers_unit_by_unit():
    net = tiny_lenet()
    images, labels = RNG.normal(size=(3, 1, 8, 8)), np.array([0, 3, 1])
    got = diagonal_curvature(net, images, labels, distance_to_the_code)
    expected = unit_by_unit(net, images, labels)
    assert got.keys() == expected.keys() == set(net.parameters())
    for p, values in expected.items():
        np.testing.assert_allclose(got[p], values, rtol=1e-6)
        assert (values > 0).all()


def second_difference(net, loss, images, labels, p, width=1e-4):
    result = np.zeros(p.size)
    for k in range(p.size):
        values = []
        for shift in (width, 0.0, -width):
            with p.changing() as array:
                array.reshape(-1)[k] += shift
            with no_grad():
                values.append(float(loss(net(images), labels)))
            with p.changing() as array:
                array.reshape(-1)[k] -= shift
        result[k] = (values[0] - 2 * values[1] + values[2]) / width**2
    return result.reshape(p.shape)


@pytest.mark.parametrize("criterion", ["mse", "map"])
def test_before_a_distance_gauss_newton_is_exact(criterion):
    """Where a single linear layer feeds the RBF, nothing is left out: the true second derivative of eq. 8 and 9."""
    net = nn.Sequential(nn.Linear(3, 4), nn.RBF(np.float32([[1, 1, -1, -1], [1, -1, 1, 1], [-1, -1, -1, 1]])))
    net.astype("float64")
    loss = models.create("lenet5", form="paper", criterion=criterion).form.loss
    images, labels = RNG.normal(size=(6, 3)), np.array([0, 2, 1, 1, 0, 2])
    curvature = diagonal_curvature(net, images, labels, loss)
    for p in net.parameters():
        exact = second_difference(net, loss, images, labels, p)
        assert exact.min() > 0.01
        np.testing.assert_allclose(curvature[p], exact, rtol=1e-4, atol=1e-5)


def test_cross_entropy_starts_with_p_times_one_minus_p():
    layer = nn.Linear(3, 4).astype("float64")
    images, labels = RNG.normal(size=(5, 3)), np.array([0, 3, 1, 2, 2])
    with no_grad():
        p = functional.softmax(layer(images)).numpy()
    curvature = diagonal_curvature(layer, images, labels, functional.cross_entropy)
    np.testing.assert_allclose(curvature[layer.bias], (p * (1 - p)).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(curvature[layer.weight], (p * (1 - p)).T @ images**2 / 5, rtol=1e-5)


def test_a_maximum_hands_on_to_where_it_was_and_relu_where_it_is_on():
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1, 1)).astype("float64")
    values = {"0.weight": 2.0, "0.bias": 0.0, "4.weight": 3.0, "4.bias": 0.0}
    for name, p in net.named_parameters():
        with p.changing() as array:
            array[...] = values[name]
    half_square = lambda outputs, labels: (outputs * outputs).mean() * 0.5  # noqa: E731
    curvature = diagonal_curvature(net, np.array([[[[1.0, -4.0], [5.0, 2.0]]]]), np.array([0]), half_square)
    by_name = {name: curvature[p].item() for name, p in net.named_parameters()}
    expected = {"0.weight": 9 * 25, "0.bias": 9, "4.weight": 100, "4.bias": 1}
    assert by_name == pytest.approx(expected, rel=1e-6)


def test_lenet_of_1998_as_a_whole():
    model = models.create("lenet5", form="paper")
    images, labels = RNG.integers(0, 256, (4, 32, 32)).astype(np.uint8), np.array([3, 1, 4, 1])
    curvature = diagonal_curvature(model, model.form.preprocess(images), labels, model.form.loss)
    assert {p: h.shape for p, h in curvature.items()} == {p: p.shape for p in model.parameters()}
    assert all(h.dtype == np.float32 and np.isfinite(h).all() and (h >= 0).all() for h in curvature.values())
    assert model.training
    assert all(p.grad is None for p in model.parameters())


def test_the_step():
    p = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    optimizer = StochasticDiagonalLevenbergMarquardt([p], lr=0.5, mu=0.25)
    optimizer.slots[0]["curvature"][...] = [0.75, 0.0]
    p.grad = Tensor(np.array([1.0, -1.0]))
    optimizer.step()
    assert p.numpy().tolist() == [0.5, 4.0]
    for options in ({"lr": 0.0}, {"lr": 1.0, "mu": 0.0}, {"lr": 1.0, "samples": 0}):
        with pytest.raises(OptionError, match=r"StochasticDiagonal\w+: \w+ must be"):
            StochasticDiagonalLevenbergMarquardt([p], **options)


def test_networks_that_it_does_not_know():
    images, labels = RNG.normal(size=(2, 1, 4, 4)), np.array([0, 0])
    net = nn.Sequential(nn.AvgPool2d(4), nn.Flatten())
    with pytest.raises(OptionError, match="no rule for a layer of the kind AvgPool2d"):
        diagonal_curvature(net, images, labels, functional.cross_entropy)

    class Shortcut(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, input):
            return self.b(self.a(input) + input)

    with pytest.raises(OptionError, match="must be a chain"):
        diagonal_curvature(Shortcut(), np.float32(RNG.normal(size=(2, 3))), labels, functional.cross_entropy)
