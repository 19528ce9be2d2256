"""The layers that are measured are those of the networks: their parameters add up to what is published."""

from math import prod

import pytest

import limits
import minicnn
from layers import NETWORKS, Network, layers

# Counts of the papers, or of published weights; what is added stands in the walk beside the network itself.
PARAMETERS = {
    "lenet5": 2 * 61_706,  # with ReLU and with tanh
    "alexnet": 60_965_224 + 2_469_696,  # in two groups; torchvision's convolutions
    "vgg16": 138_357_544,
    "googlenet": 6_998_552 + 2 * 128 + (512 + 528) * 128,  # the convolutions of the auxiliary heads
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "xception": 22_855_952,
    "mobilenet": 4_231_976,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_walk_meets_every_parameter(name):
    walk, size = NETWORKS[name]
    net = Network(1, 3, size, size)
    walk(net)
    weights = [
        shape
        for layer in net.layers
        if (layer.weighted or layer.op == "batch_norm2d") and layer.shapes[0] != (32, *layer.shapes[0][1:])
        for shape in layer.shapes[1:3]
    ]
    assert sum(map(prod, weights)) == PARAMETERS[name]


def test_equal_layers_are_measured_once():
    found = layers()
    assert len({repr(layer) for layer in found}) == len(found)
    assert {name for layer in found for name in layer.networks} == set(NETWORKS)
    stem = next(
        layer for layer in found if layer.op == "conv2d" and layer.shapes[1] == (64, 3, 7, 7) and len(layer.shapes) == 2
    )
    assert stem.networks == ["resnet18", "resnet50"]


def test_the_micro_kernel_is_measured():
    threads = minicnn.get_num_threads()
    try:
        (text,) = limits.micro_kernel()
    finally:
        minicnn.set_num_threads(threads)
    assert float(text.split()[3]) > 10, text
