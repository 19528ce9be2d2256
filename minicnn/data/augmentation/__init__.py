"""Changes to training images that leave their labels true: a network that has seen them generalises better.

Each is ``augmentation(image, rng) -> image``, the ``transform`` of a ``Loader``: an image (H, W) or (C, H, W), uint8 or float32,
in, a changed copy out. ``Mixup`` and ``CutMix`` change a batch and its labels, the ``mix`` of a ``Loader``.
"""

from minicnn.data.augmentation.geometry import Affine as Affine
from minicnn.data.augmentation.geometry import Elastic as Elastic
from minicnn.data.augmentation.geometry import Flip as Flip
from minicnn.data.augmentation.geometry import PadAndCrop as PadAndCrop
from minicnn.data.augmentation.geometry import Perspective as Perspective
from minicnn.data.augmentation.geometry import RandomResizedCrop as RandomResizedCrop
from minicnn.data.augmentation.geometry import RandomShift as RandomShift
from minicnn.data.augmentation.geometry import Rotate as Rotate
from minicnn.data.augmentation.geometry import Shear as Shear
from minicnn.data.augmentation.geometry import Translate as Translate
from minicnn.data.augmentation.geometry import Zoom as Zoom
from minicnn.data.augmentation.image import Augmentation as Augmentation
from minicnn.data.augmentation.mixing import CutMix as CutMix
from minicnn.data.augmentation.mixing import Mixup as Mixup
from minicnn.data.augmentation.policies import Compose as Compose
