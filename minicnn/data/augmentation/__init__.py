"""Changes to training images that leave their labels true: a network that has seen them generalises better.

Each is ``augmentation(image, rng) -> image``, the ``transform`` of a ``Loader``: an image (H, W) or (C, H, W), uint8
or float32, in, a changed copy out. ``Mixup`` and ``CutMix`` change a batch and its labels, the ``mix`` of a
``Loader``.
"""

from minicnn.data.augmentation.colour import AutoContrast as AutoContrast
from minicnn.data.augmentation.colour import Blur as Blur
from minicnn.data.augmentation.colour import Brightness as Brightness
from minicnn.data.augmentation.colour import ColourJitter as ColourJitter
from minicnn.data.augmentation.colour import Contrast as Contrast
from minicnn.data.augmentation.colour import Equalize as Equalize
from minicnn.data.augmentation.colour import Grey as Grey
from minicnn.data.augmentation.colour import Hue as Hue
from minicnn.data.augmentation.colour import Invert as Invert
from minicnn.data.augmentation.colour import Noise as Noise
from minicnn.data.augmentation.colour import PCANoise as PCANoise
from minicnn.data.augmentation.colour import Posterize as Posterize
from minicnn.data.augmentation.colour import Saturation as Saturation
from minicnn.data.augmentation.colour import Sharpness as Sharpness
from minicnn.data.augmentation.colour import Solarize as Solarize
from minicnn.data.augmentation.erasing import Cutout as Cutout
from minicnn.data.augmentation.erasing import RandomErasing as RandomErasing
from minicnn.data.augmentation.geometry import Affine as Affine
from minicnn.data.augmentation.geometry import Elastic as Elastic
from minicnn.data.augmentation.geometry import Flip as Flip
from minicnn.data.augmentation.geometry import PadAndCrop as PadAndCrop
from minicnn.data.augmentation.geometry import Perspective as Perspective
from minicnn.data.augmentation.geometry import RandomResizedCrop as RandomResizedCrop
from minicnn.data.augmentation.geometry import Rotate as Rotate
from minicnn.data.augmentation.geometry import Shear as Shear
from minicnn.data.augmentation.geometry import Translate as Translate
from minicnn.data.augmentation.geometry import Zoom as Zoom
from minicnn.data.augmentation.image import Augmentation as Augmentation
from minicnn.data.augmentation.mixing import CutMix as CutMix
from minicnn.data.augmentation.mixing import Mixup as Mixup
from minicnn.data.augmentation.policies import Compose as Compose
from minicnn.data.augmentation.policies import RandAugment as RandAugment
from minicnn.data.augmentation.policies import TenCrop as TenCrop
from minicnn.data.augmentation.policies import TrivialAugment as TrivialAugment
from minicnn.data.augmentation.policies import imagenet as imagenet
