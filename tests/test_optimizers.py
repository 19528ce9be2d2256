import json

import numpy as np
import pytest

from minicnn import Tensor
from minicnn.errors import OptionError, ShapeError, StateError
from minicnn.train import SGD, Adam, AdamW, Optimizer, RMSprop, optimizer

START = [0.5, -1.25, 2.0, 0.0]
GRADIENTS = [[0.3, -0.7, 1.1, 0.05], [-0.4, 0.2, 0.9, -0.05], [0.25, 0.6, -2.0, 0.0]]

# What PyTorch 2.13 makes of START after these three gradients, in float64.
PYTORCH = [
    (SGD, {"lr": 0.1}, [0.485, -1.26, 2.0, 0.0]),
    (SGD, {"lr": 0.1, "momentum": 0.9}, [0.4697, -1.1583, 1.7309, -0.00405]),
    (
        SGD,
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
        [0.46697136949999996, -1.15153942875, 1.720197488, -0.004036005],
    ),
    (
        SGD,
        {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
        [0.460583754124, -1.19173469447, 1.802577234816, -0.00253230916],
    ),
    (Adam, {"lr": 0.1}, [0.404144269687868, -1.1204585698178298, 1.808801965768258, -0.09066838784780287]),
    (
        Adam,
        {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.01},
        [0.4072943972451036, -1.130493347061909, 1.8166510309882613, -0.07671565481457787],
    ),
    (
        AdamW,
        {"lr": 0.1, "weight_decay": 0.1},
        [0.39109025921787105, -1.085762047829457, 1.7523798149208463, -0.08873101981422385],
    ),
    (RMSprop, {"lr": 0.1}, [-0.14821577155876886, -1.1656570069426337, 1.182183690876442, -0.2911178000193647]),
    (
        RMSprop,
        {"lr": 0.1, "alpha": 0.8, "eps": 1e-3, "momentum": 0.9, "weight_decay": 0.01},
        [0.1344681073717235, -0.9239531232357139, 1.2992531379626844, -0.25921724946048985],
    ),
]
NAMES = [f"{formula.__name__} {options}" for formula, options, _ in PYTORCH]


def by_hand(formula, options, p, gradients):
    """One weight, Python numbers, running means written as sums over all steps so far."""
    lr, decay = options["lr"], options.get("weight_decay", 0.01 if formula is AdamW else 0.0)
    seen, quotients = [], []
    for t, raw in enumerate(gradients, 1):
        seen.append(raw if formula is AdamW else raw + decay * p)

        def gathered(values, keep, t=t):
            return sum(keep ** (t - 1 - i) * value for i, value in enumerate(values))

        if formula is SGD:
            momentum = options.get("momentum", 0.0)
            b = gathered(seen, momentum)
            p -= lr * (seen[-1] + momentum * b if options.get("nesterov") else b)
        elif formula in (Adam, AdamW):
            beta1, beta2 = options.get("betas", (0.9, 0.999))
            mean = (1 - beta1) * gathered(seen, beta1) / (1 - beta1**t)
            square = (1 - beta2) * gathered([g * g for g in seen], beta2) / (1 - beta2**t)
            if formula is AdamW:
                p -= lr * decay * p
            p -= lr * mean / (square**0.5 + options.get("eps", 1e-8))
        else:
            alpha = options.get("alpha", 0.99)
            square = (1 - alpha) * gathered([g * g for g in seen], alpha)
            quotients.append(seen[-1] / (square**0.5 + options.get("eps", 1e-8)))
            p -= lr * gathered(quotients, options.get("momentum", 0.0))
    return p


def run(optimizer, parameter, gradients):
    for g in gradients:
        optimizer.zero_grad()
        parameter.grad = Tensor(np.asarray(g, parameter.dtype))
        optimizer.step()
    return parameter.numpy()


@pytest.mark.parametrize(("formula", "options", "expected"), PYTORCH, ids=NAMES)
def test_three_steps_are_pytorchs_and_the_formulas(formula, options, expected):
    p = Tensor(np.array(START), requires_grad=True)
    result = run(formula([p], **options), p, GRADIENTS)
    np.testing.assert_allclose(result, expected, rtol=1e-13, atol=1e-15)
    hand = [by_hand(formula, options, p0, [g[i] for g in GRADIENTS]) for i, p0 in enumerate(START)]
    np.testing.assert_allclose(result, hand, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("formula", "options", "expected"), PYTORCH, ids=NAMES)
def test_a_restored_optimizer_continues_bit_for_bit(formula, options, expected):
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(6, 3, 5)).astype(np.float32)
    start = rng.normal(size=(3, 5)).astype(np.float32)
    whole = Tensor(start, requires_grad=True)
    run(formula([whole], **options), whole, gradients)

    first = Tensor(start, requires_grad=True)
    before = formula([first], **options)
    run(before, first, gradients[:4])
    state, values = before.state_dict(), first.numpy().copy()
    run(before, first, gradients[4:])  # what goes on there must not change the saved state
    second = Tensor(values, requires_grad=True)
    after = formula([second], **options)
    after.load_state_dict(state)
    run(after, second, gradients[4:])

    np.testing.assert_array_equal(second.numpy(), whole.numpy())
    assert second.dtype == np.float32
    assert all(array.dtype == np.float32 for name, array in state.items() if "." in name)


@pytest.mark.parametrize(("formula", "options", "expected"), PYTORCH, ids=NAMES)
def test_blocks_of_elements_do_not_change_a_bit(formula, options, expected, monkeypatch):
    rng = np.random.default_rng(0)
    gradients, start = rng.normal(size=(3, 5, 7)), rng.normal(size=(5, 7))
    results = []
    for block in (1000, 4):
        monkeypatch.setattr(optimizer, "BLOCK", block)
        p = Tensor(start, requires_grad=True)
        results.append(run(formula([p], **options), p, gradients).copy())
    np.testing.assert_array_equal(*results)


def test_a_state_of_another_optimizer_or_network_is_refused():
    p = Tensor(np.ones((2, 2)), requires_grad=True)
    q = Tensor(np.ones(3), requires_grad=True)
    adam = Adam([p])
    for other in (SGD([p], lr=1.0), Adam([q]), Adam([p, q])):
        with pytest.raises(StateError, match="another optimiser or network"):
            adam.load_state_dict(other.state_dict())
    assert not adam.slots[0]["mean"].any()


def test_the_step_is_in_place_counted_and_spares_what_has_no_gradient():
    p, frozen = Tensor(np.ones(2), requires_grad=True), Tensor(np.ones(2), requires_grad=True)
    memory, before = p.array, p._block.changes
    optimizer = SGD([p, frozen], lr=0.5, weight_decay=0.5)
    gradient = np.array([1.0, 2.0])
    run(optimizer, p, [gradient])
    assert p.array is memory
    assert p._block.changes > before
    assert p.numpy().tolist() == [0.25, -0.25]
    assert frozen.numpy().tolist() == [1.0, 1.0]
    assert gradient.tolist() == [1.0, 2.0]
    optimizer.zero_grad()
    assert p.grad is None


def test_groups_have_rates_of_their_own_and_a_factor_scales_all():
    p, q = Tensor(np.zeros(1), requires_grad=True), Tensor(np.zeros(1), requires_grad=True)
    optimizer = SGD([{"params": [p]}, {"params": iter([q]), "lr": 0.01}], lr=1.0)
    optimizer.factor = 0.5
    p.grad, q.grad = Tensor(np.ones(1)), Tensor(np.ones(1))
    optimizer.step()
    assert p.item() == -0.5
    assert q.item() == -0.005
    assert json.loads(json.dumps(optimizer.config)) == optimizer.config
    assert [group["lr"] for group in optimizer.config["groups"]] == [1.0, 0.01]


@pytest.mark.parametrize("lr", [0, 0.0, -0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("formula", [SGD, Adam, AdamW, RMSprop])
def test_learning_rates_that_cannot_be(formula, lr):
    with pytest.raises(OptionError, match=f"{formula.__name__}: lr must be > 0 and finite, got"):
        formula([Tensor(np.ones(1), requires_grad=True)], lr=lr)


@pytest.mark.parametrize(
    ("formula", "options", "message"),
    [
        (SGD, {"lr": 1.0, "momentum": 1.0}, "momentum must be"),
        (SGD, {"lr": 1.0, "momentum": -0.1}, "momentum must be"),
        (SGD, {"lr": 1.0, "weight_decay": -1.0}, "weight_decay must be"),
        (SGD, {"lr": 1.0, "nesterov": True}, "nesterov needs a momentum"),
        (Adam, {"betas": (0.9, 1.0)}, "betas must be"),
        (Adam, {"betas": (float("nan"), 0.9)}, "betas must be"),
        (Adam, {"eps": -1e-8}, "eps must be"),
        (RMSprop, {"alpha": 1.5}, "alpha must be"),
    ],
)
def test_options_out_of_range(formula, options, message):
    with pytest.raises(OptionError, match=message):
        formula([Tensor(np.ones(1), requires_grad=True)], **options)


def test_groups_that_cannot_be():
    p = Tensor(np.ones(1), requires_grad=True)
    for params, message in [
        ([], "at least one"),
        ([p, p], "each once"),
        ([{"params": [p]}, {"params": [p], "lr": 0.1}], "each once"),
        ([{"params": [p], "lr": -1.0}], "lr must be"),
        ([{"params": [p], "learning_rate": 1.0}], "no option learning_rate"),
        ([np.ones(1)], "must be Tensors"),
    ]:
        with pytest.raises(OptionError, match=message):
            SGD(params, lr=0.1)


def test_a_formula_of_ones_own_is_five_lines():
    class SignDescent(Optimizer):
        def __init__(self, params, *, lr):
            super().__init__(params, [], lr=lr)

        def _update(self, p, g, slots, lr, group):
            p -= lr * np.sign(g)

    p = Tensor(np.zeros(3), requires_grad=True)
    assert run(SignDescent([p], lr=0.5), p, [[3.0, -7.0, 0.0]]).tolist() == [-0.5, 0.5, 0.0]


@pytest.mark.parametrize(
    ("params", "options", "text"),
    [
        (None, {}, "SGD: params must be Tensors or groups of them, got None"),
        ([{"lr": 0.1}], {}, 'SGD: a group must be a dict with "params"'),
        ([Tensor([1.0])], {"lr": "fast"}, "SGD: lr must be > 0 and finite, got 'fast'"),
        ([Tensor([1.0])], {"lr": True}, "SGD: lr must be > 0 and finite, got True"),
        ([Tensor([1.0])], {"momentum": (0.9,)}, "SGD: momentum must be"),
    ],
)
def test_what_is_no_parameter_or_number_is_refused(params, options, text):
    with pytest.raises(OptionError, match=text):
        SGD(params, **{"lr": 0.1, **options})


def test_betas_are_two():
    with pytest.raises(OptionError, match=r"Adam: betas must be in 0 <= beta < 1, both, got 0\.9"):
        Adam([Tensor([1.0])], lr=0.1, betas=0.9)


@pytest.mark.parametrize("grad", [np.ones(2, np.float32), Tensor([1.0, 1.0, 1.0]), 3])
def test_a_gradient_that_is_none_is_refused(grad):
    p = Tensor([1.0, 1.0], requires_grad=True)
    p.grad = grad
    with pytest.raises(ShapeError, match=r"SGD: .grad must be a Tensor of its parameter's shape \(2,\), got"):
        SGD([p], lr=0.1).step()
    with pytest.raises(StateError, match="SGD: the state must be a mapping of names to arrays, got NoneType"):
        SGD([p], lr=0.1).load_state_dict(None)
