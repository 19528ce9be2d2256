"""Weights for comparisons: drawn from a seed, in the order of our own parameters, so that both sides can have them."""

import numpy as np

from minicnn import models, nn


def seeded_model(options: dict, seed: int = 7):
    """Make a network with weights from a seed; norms get statistics and scales that are not 0 and 1."""
    with nn.init.using(nn.init.zeros):
        model = models.create(**options)
    rng = np.random.default_rng(seed)

    def normal(shape, std):
        return rng.standard_normal(shape, np.float32) * np.float32(std)

    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            if module.weight is not None:  # below 1, for residual connections add up
                nn.init.fill(module.weight, rng.uniform(0.3, 0.9, module.weight.shape))
            nn.init.fill(module.bias, normal(module.bias.shape, 0.1))
            nn.init.fill(module.running_mean, normal(module.bias.shape, 0.1))
            nn.init.fill(module.running_var, rng.uniform(0.5, 1.5, module.bias.shape))
        elif isinstance(module, (nn.Conv2d, nn.DepthwiseConv2d, nn.Linear)):
            fan_in = module.weight.size / len(module.weight)
            nn.init.fill(module.weight, normal(module.weight.shape, np.sqrt(2 / fan_in)))
            if module.bias is not None:
                nn.init.fill(module.bias, normal(module.bias.shape, 0.1))
        elif isinstance(module, nn.Dropout):
            module.p = 0.0  # masks differ between libraries
    return model


def seeded_images(count: int, size: int, seed: int = 8) -> np.ndarray:
    """Draw smooth images: (N, 3, size, size), about -1 .. 1."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-1, 1, (count, 3, size // 8 + 2, size // 8 + 2)).astype(np.float32)
    fine = coarse.repeat(8, 2).repeat(8, 3)[:, :, :size, :size]
    return np.ascontiguousarray(fine + 0.1 * rng.standard_normal(fine.shape).astype(np.float32))
