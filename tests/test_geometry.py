"""Window arithmetic, against sizes that the papers print and against walking over every pixel."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minicnn.kernels import geometry

small = st.integers(1, 4)
sizes = st.integers(1, 40)

# ------------------------------------------------------------------------------------------- output sizes


@pytest.mark.parametrize(
    ("layer", "size", "options", "expected"),
    [
        ("LeNet-5 C1", 32, {"kernel": 5}, 28),
        ("LeNet-5 S2", 28, {"kernel": 2, "stride": 2}, 14),
        ("LeNet-5 C5", 5, {"kernel": 5}, 1),
        ("AlexNet conv1, 227", 227, {"kernel": 11, "stride": 4}, 55),
        ("AlexNet conv1, 224 as printed", 224, {"kernel": 11, "stride": 4}, 54),
        ("AlexNet conv1, 224 with padding 2", 224, {"kernel": 11, "stride": 4, "before": 2, "after": 2}, 55),
        ("AlexNet pool1", 55, {"kernel": 3, "stride": 2}, 27),
        ("AlexNet pool5", 13, {"kernel": 3, "stride": 2}, 6),
        ("VGG conv", 224, {"kernel": 3, "before": 1, "after": 1}, 224),
        ("VGG pool5", 14, {"kernel": 2, "stride": 2}, 7),
        ("GoogLeNet conv1", 224, {"kernel": 7, "stride": 2, "before": 3, "after": 3}, 112),
        ("GoogLeNet pool1", 112, {"kernel": 3, "stride": 2, "ceil_mode": True}, 56),
        ("GoogLeNet pool1 without ceil", 112, {"kernel": 3, "stride": 2}, 55),
        ("GoogLeNet pool2", 56, {"kernel": 3, "stride": 2, "ceil_mode": True}, 28),
        ("GoogLeNet pool4", 14, {"kernel": 3, "stride": 2, "ceil_mode": True}, 7),
        ("GoogLeNet auxiliary pool", 14, {"kernel": 5, "stride": 3}, 4),
        ("ResNet pool1", 112, {"kernel": 3, "stride": 2, "before": 1, "after": 1}, 56),
        ("Xception block1_conv1", 299, {"kernel": 3, "stride": 2}, 149),
        ("MobileNet conv1 (Keras: 0 and 1)", 224, {"kernel": 3, "stride": 2, "before": 0, "after": 1}, 112),
        ("dilation 2", 9, {"kernel": 3, "dilation": 2}, 5),
        ("window as large as the image", 7, {"kernel": 7, "stride": 7}, 1),
        ("window larger than the image", 4, {"kernel": 5}, 0),
        ("much larger", 1, {"kernel": 9, "stride": 2}, 0),
    ],
)
def test_output_size_of_real_layers(layer, size, options, expected):
    assert geometry.output_size(size, **options) == expected


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pad", "expected"),
    [
        (6, 3, 2, 0, 3),  # windows at 0, 2 and 4; the last overhangs by one pixel
        (5, 3, 2, 0, 2),  # fits without overhang: ceil changes nothing
        (5, 2, 2, 1, 3),  # at -1, 1, 3: whole; a fourth would start at 5, beyond the last pixel
        (4, 2, 2, 1, 3),  # at -1, 1, 3
        (3, 1, 3, 0, 1),  # ceil says 2, but the second would start at 3, past the image
        (1, 2, 2, 1, 1),  # at -1; ceil says 2, the second would start at 1, in the padding
        (2, 3, 2, 0, 1),  # larger than the image by less than a stride: it overhangs
        (1, 3, 2, 0, 0),  # larger by a whole stride: not even that
    ],
)
def test_ceil_mode(size, kernel, stride, pad, expected):
    got = geometry.output_size(size, kernel, stride=stride, before=pad, after=pad, ceil_mode=True)
    assert got == expected


@given(sizes, small, small, small, st.integers(0, 4), st.integers(0, 4))
def test_output_size_counts_the_positions(size, kernel, stride, dilation, before, after):
    """Without ceil_mode, every position at which the whole window lies on the padded image."""
    padded = range(-before, size + after)
    count, start = 0, -before
    while all(start + k * dilation in padded for k in range(kernel)):
        count, start = count + 1, start + stride
    options = {"stride": stride, "before": before, "after": after, "dilation": dilation}
    assert geometry.output_size(size, kernel, **options) == count


@given(sizes, small, small, small, st.data())
def test_ceil_mode_adds_the_overhanging_position(size, kernel, stride, dilation, data):
    """With it, positions go on until a window reached the end, but none starts past the last pixel."""
    span = geometry.span(kernel, dilation)
    before, after = (data.draw(st.integers(0, span // 2)) for _ in range(2))  # as pools allow
    assume(before + size + after >= span)
    starts = [-before]
    while starts[-1] + span < size + after:
        starts.append(starts[-1] + stride)
    count = sum(start < size for start in starts)
    options = {"stride": stride, "before": before, "after": after, "dilation": dilation}
    assert geometry.output_size(size, kernel, **options, ceil_mode=True) == count


# ------------------------------------------------------------------------------------------- same padding


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "expected"),
    [
        (224, 3, 2, 1, (0, 1)),  # even: TensorFlow's odd pixel at the end
        (299, 3, 2, 1, (1, 1)),  # odd: as in PyTorch
        (224, 7, 2, 1, (2, 3)),
        (56, 3, 1, 1, (1, 1)),
        (56, 5, 1, 1, (2, 2)),
        (32, 2, 1, 1, (0, 1)),
        (32, 3, 1, 2, (2, 2)),
        (32, 1, 1, 1, (0, 0)),
        (32, 1, 2, 1, (0, 0)),
        (7, 2, 3, 1, (0, 1)),
        (6, 2, 3, 1, (0, 0)),  # the stride skips pixels: nothing to pad
    ],
)
def test_same_padding(size, kernel, stride, dilation, expected):
    assert geometry.same_padding(size, kernel, stride=stride, dilation=dilation) == expected


@given(sizes, small, small, small)
def test_same_padding_gives_ceil_of_size_over_stride(size, kernel, stride, dilation):
    before, after = geometry.same_padding(size, kernel, stride=stride, dilation=dilation)
    assert 0 <= after - before <= 1
    options = {"stride": stride, "dilation": dilation}
    out = geometry.output_size(size, kernel, before=before, after=after, **options)
    assert out == math.ceil(size / stride)
    if after:  # no pixel of it could be spared
        assert geometry.output_size(size, kernel, before=before, after=after - 1, **options) == out - 1


# ------------------------------------------------------------------------------------------- pools of means


@given(sizes, small, small, st.data())
def test_pool_window(size, kernel, stride, data):
    """The taps of a window, each asked where it lies: in the image, in the padding, or beyond."""
    before, after = (data.draw(st.integers(0, kernel // 2)) for _ in range(2))
    out = geometry.output_size(size, kernel, stride=stride, before=before, after=after, ceil_mode=True)
    assume(out >= 1)
    for index in range(out):
        taps = [index * stride - before + k for k in range(kernel)]
        inside = [tap for tap in taps if 0 <= tap < size]
        padded = [tap for tap in taps if -before <= tap < size + after]
        for count_include_pad, count in ((True, len(padded)), (False, len(inside))):
            first, stop, divisor = geometry.pool_window(index, size, kernel, stride, (before, after), count_include_pad)
            assert list(range(first, stop)) == inside
            assert divisor == count >= 1


@pytest.mark.parametrize(
    ("size", "bins", "expected"),
    [
        (7, 1, [(0, 7)]),  # global
        (13, 6, [(0, 3), (2, 5), (4, 7), (6, 9), (8, 11), (10, 13)]),  # AlexNet: as a 3/2 pool
        (14, 4, [(0, 4), (3, 7), (7, 11), (10, 14)]),  # GoogLeNet's auxiliary heads in torchvision
        (2, 3, [(0, 1), (0, 2), (1, 2)]),
        (4, 4, [(0, 1), (1, 2), (2, 3), (3, 4)]),
    ],
)
def test_adaptive_window_of_real_layers(size, bins, expected):
    assert [geometry.adaptive_window(i, size, bins) for i in range(bins)] == expected


@given(sizes, sizes)
def test_adaptive_windows_hold_every_pixel_their_bin_touches(size, bins):
    """Pixel p covers [p, p + 1), bin i covers [i, i + 1) * size / bins: compare as integers times bins."""
    for i in range(bins):
        touched = [p for p in range(size) if p * bins < (i + 1) * size and (p + 1) * bins > i * size]
        assert list(range(*geometry.adaptive_window(i, size, bins))) == touched


# ------------------------------------------------------------------------------------------- borders and sizes


@given(st.integers(2, 12))
def test_reflect_walks_to_and_fro(size):
    """Walk from the first pixel to the last and back: the mirror image repeats neither end."""
    to_and_fro = [*range(size), *range(size - 2, 0, -1)]
    for index in range(1 - size, 2 * size - 1):
        assert geometry.pad_source(index, size, "reflect") == to_and_fro[index % len(to_and_fro)]


@given(sizes, st.integers(-50, 90))
def test_replicate_is_the_nearest_pixel_and_constant_is_none(size, index):
    nearest = min(range(size), key=lambda pixel: abs(pixel - index))
    assert geometry.pad_source(index, size, "replicate") == nearest
    assert geometry.pad_source(index, size, "constant") == (index if index in range(size) else -1)


@given(sizes, sizes)
def test_nearest_source_is_exact(size, out):
    step = geometry.resize_step(size, out, None, "nearest")
    assert [geometry.nearest_source(i, size, step) for i in range(out)] == [i * size // out for i in range(out)]


@pytest.mark.parametrize(
    ("size", "out", "scale", "mode", "align_corners", "expected"),
    [
        (10, 7, None, "nearest", False, (10, 7)),
        (10, 7, 0.75, "nearest", False, (1, 0.75)),
        (10, 10, 1.05, "nearest", False, (10, 10)),  # the size did not change: neither does the image
        (10, 10, 1.05, "bilinear", False, (10, 10)),
        (10, 20, 2.05, "nearest", False, (10, 20)),  # doubled: each pixel twice
        (10, 20, 2.05, "bilinear", False, (1, 2.05)),
        (10, 20, 2.05, "bilinear", True, (9, 19)),
        (10, 1, None, "bilinear", True, (0, 1)),
    ],
)
def test_resize_step(size, out, scale, mode, align_corners, expected):
    assert geometry.resize_step(size, out, scale, mode, align_corners) == expected


@given(sizes, sizes, st.booleans())
def test_linear_source_reads_a_ramp_as_positions(size, out, align_corners):
    """Blended values of the image 0, 1, 2, ... are the positions themselves, held within the image."""
    step = geometry.resize_step(size, out, None, "bilinear", align_corners)
    shift = 0 if align_corners else 0.5
    for i in range(out):
        first, second, weight = geometry.linear_source(i, size, step, align_corners)
        assert 0 <= first <= second <= min(first + 1, size - 1)
        assert 0 <= weight < 1
        assert (weight == 0) == (first == second)
        position = (i + shift) * step[0] / step[1] - shift
        assert first + weight == pytest.approx(min(max(position, 0), size - 1), abs=1e-9)
    if align_corners and out > 1:
        assert geometry.linear_source(0, size, step, True)[0] == 0
        assert geometry.linear_source(out - 1, size, step, True) == (size - 1, size - 1, 0.0)


# ------------------------------------------------------------------------------------------- receptive fields

POOL, CONV3 = (2, 2, 1), (3, 1, 1)


@pytest.mark.parametrize(
    ("network", "layers", "expected"),
    [
        ("nothing", [], (1, 1)),
        ("LeNet-5 to S4", [(5, 1, 1), POOL, (5, 1, 1), POOL], (16, 4)),
        ("LeNet-5 to C5: the whole image", [(5, 1, 1), POOL, (5, 1, 1), POOL, (5, 1, 1)], (32, 4)),
        ("two 3x3 see as much as a 5x5 (VGG, section 2.3)", [CONV3] * 2, (5, 1)),
        ("three as much as a 7x7", [CONV3] * 3, (7, 1)),
        ("AlexNet conv2", [(11, 4, 1), (3, 2, 1), (5, 1, 1)], (51, 8)),
        ("AlexNet pool5", [(11, 4, 1), (3, 2, 1), (5, 1, 1), (3, 2, 1), *[CONV3] * 3, (3, 2, 1)], (195, 32)),
        (
            "VGG-16 pool5",
            [*[CONV3] * 2, POOL, *[CONV3] * 2, POOL, *[CONV3] * 3, POOL, *[CONV3] * 3, POOL, *[CONV3] * 3, POOL],
            (212, 32),
        ),
        ("ResNet conv1 and pool1", [(7, 2, 1), (3, 2, 1)], (11, 4)),
        ("dilations 1, 2, 4", [(3, 1, 1), (3, 1, 2), (3, 1, 4)], (15, 1)),
    ],
)
def test_receptive_field_of_real_networks(network, layers, expected):
    assert geometry.receptive_field(layers) == expected


@given(st.lists(st.tuples(small, small, small), max_size=4))
def test_receptive_field_reaches_as_far_as_the_taps(layers):
    """Follow the first two outputs down through the taps of every layer to the input pixels they see."""
    seen = [{0}, {1}]
    for kernel, stride, dilation in reversed(layers):
        seen = [{y * stride + k * dilation for y in pixels for k in range(kernel)} for pixels in seen]
    field, step = geometry.receptive_field(layers)
    assert field == max(seen[0]) - min(seen[0]) + 1
    assert step == min(seen[1]) - min(seen[0])
