"""The published files: what they are called, where they officially are, how to know them, what they may be used for.

Accuracies are those that the publishers state for ILSVRC-2012's validation set, one crop, in per cent (for CIFAR-10:
its test set). The names of PyTorch's files end with the start of their SHA-256; Keras publishes MD5 sums, Caffe's model
zoo SHA-1 sums; where a publisher gives none, there is none here. All were trained on images that ImageNet gives away
for research only, whatever the licence of the file says.
"""

from __future__ import annotations

from dataclasses import dataclass

from minicnn.errors import OptionError, nearest


@dataclass(frozen=True)
class Published:
    """A published file.

    Attributes
    ----------
    name : str
        Of the entry: the model, and whose weights they are.
    model, form : str
        Of ``minicnn.models.create``.
    address : str
    digest : str
        ``"sha256:..."`` (or the start of it), ``"md5:..."``, ``"sha1:..."``, or empty.
    licence : str
    top1, top5 : float or None
        Per cent.
    """

    name: str
    model: str
    form: str
    address: str
    digest: str
    licence: str
    top1: float | None
    top5: float | None

    @property
    def file(self) -> str:
        """The file's name; that of timm's, which all are called alike, is the entry's."""
        last = self.address.rpartition("/")[2]
        return f"{self.name}.safetensors" if last == "model.safetensors" else last


TORCH, BSD = "https://download.pytorch.org/models/", "BSD 3-Clause (torchvision)"
KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/"
HUB = "https://huggingface.co/timm/"
AKAMASTER = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models/"
CAFFE = "http://dl.caffe.berkeleyvision.org/"
OXFORD = "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/"

_TORCHVISION = (
    # model          file                                  top-1   top-5
    ("alexnet", "alexnet-owt-7be5be79.pth", 56.522, 79.066),
    ("vgg11", "vgg11-8a719046.pth", 69.020, 88.628),
    ("vgg13", "vgg13-19584684.pth", 69.928, 89.246),
    ("vgg16", "vgg16-397923af.pth", 71.592, 90.382),
    ("vgg19", "vgg19-dcbb9e9d.pth", 72.376, 90.876),
    ("vgg11_bn", "vgg11_bn-6002323d.pth", 70.370, 89.810),
    ("vgg13_bn", "vgg13_bn-abd245e5.pth", 71.586, 90.374),
    ("vgg16_bn", "vgg16_bn-6c64b313.pth", 73.360, 91.516),
    ("vgg19_bn", "vgg19_bn-c79401a0.pth", 74.218, 91.842),
    ("googlenet", "googlenet-1378be20.pth", 69.778, 89.530),
    ("inception_v3", "inception_v3_google-0cc3c7bd.pth", 77.294, 93.450),
    ("resnet18", "resnet18-f37072fd.pth", 69.758, 89.078),
    ("resnet34", "resnet34-b627a593.pth", 73.314, 91.420),
    ("resnet50", "resnet50-0676ba61.pth", 76.130, 92.862),
    ("resnet101", "resnet101-63fe2227.pth", 77.374, 93.546),
    ("resnet152", "resnet152-394f9c45.pth", 78.312, 94.046),
)
_TORCHVISION_V2 = (  # trained longer and with more augmentation, for photos whose shorter side is 232
    ("resnet50", "resnet50-11ad3fa6.pth", 80.858, 95.434),
    ("resnet101", "resnet101-cd907fc2.pth", 81.886, 95.780),
    ("resnet152", "resnet152-f82ba261.pth", 82.284, 96.002),
)
_KERAS = (
    # model   form     folder/file    md5 of the file                     licence  top-1 top-5
    ("vgg16", "keras", "vgg16/vgg16", "64373286793e3c8b2b4e3219cbf3544b", "CC BY 4.0 (Oxford's VGG)", 71.3, 90.1),
    ("vgg19", "keras", "vgg19/vgg19", "cbe5617147190e668d6c5d5026f83318", "CC BY 4.0 (Oxford's VGG)", 71.3, 90.0),
    ("resnet50", "keras", "resnet/resnet50", "2cb95161c43110f7111970584f804107", "MIT (K. He)", 74.9, 92.1),
    ("resnet101", "keras", "resnet/resnet101", "f1aeb4b969a6efcfb50fad2f0c20cfc5", "MIT (K. He)", 76.4, 92.8),
    ("resnet152", "keras", "resnet/resnet152", "100835be76be38e30d865e96f2aaae62", "MIT (K. He)", 76.6, 93.1),
    ("resnet50", "keras_v2", "resnet/resnet50v2", "3ef43a0b657b3be2300d5770ece849e0", "MIT (K. He)", 76.0, 93.0),
    ("resnet101", "keras_v2", "resnet/resnet101v2", "6343647c601c52e1368623803854d971", "MIT (K. He)", 77.2, 93.8),
    ("resnet152", "keras_v2", "resnet/resnet152v2", "a49b44d1979771252814e80f8ec446f9", "MIT (K. He)", 78.0, 94.2),
    ("inception_v3", "keras", "inception_v3/inception_v3", "9a0d58056eeedaa3f26cb7ebd46da564", "Apache 2.0",
     77.9, 93.7),
    ("xception", "keras", "xception/xception", "0a58e3b7378bc2990ea3b43d5981f1f6", "MIT (F. Chollet)", 79.0, 94.5),
)  # fmt: skip
_MOBILENET = (  # as Keras spells alpha in the file's name; accuracies of the paper's table 6 and of Keras
    ("1_0", "", 70.4, 89.5),
    ("7_5", "-0.75", 68.4, None),
    ("5_0", "-0.5", 63.7, None),
    ("2_5", "-0.25", 50.6, None),
)
_AKAMASTER = (
    ("resnet20", "12fca82f", 91.73),
    ("resnet32", "d509ac18", 92.63),
    ("resnet44", "014dd654", 93.10),
    ("resnet56", "4bfd9763", 93.39),
    ("resnet110", "1d1ed7c2", 93.68),
    ("resnet1202", "f3b1deed", 93.82),
)


def _start(file: str) -> str:
    """The start of a file's SHA-256, which stands in its name."""
    return "sha256:" + file.rpartition(".")[0].rpartition("-")[2]


CATALOGUE = {
    entry.name: entry
    for entry in (
        *(
            Published(f"{model}-torchvision", model, "torchvision", TORCH + file, _start(file), BSD, *accuracy)
            for model, file, *accuracy in _TORCHVISION
        ),
        *(
            Published(
                f"{model}-torchvision-v2", model, "torchvision", TORCH + file, _start(file), BSD, *accuracy
            )
            for model, file, *accuracy in _TORCHVISION_V2
        ),
        *(
            Published(
                f"{model}-{form.replace('_', '-')}", model, form,
                f"{KERAS}{file}_weights_tf_dim_ordering_tf_kernels.h5", f"md5:{digest}", licence, *accuracy,
            )
            for model, form, file, digest, licence, *accuracy in _KERAS
        ),
        *(
            Published(
                f"mobilenet{width}-keras", "mobilenet", "keras", f"{KERAS}mobilenet/mobilenet_{alpha}_224_tf.h5", "",
                "Apache 2.0", *accuracy,
            )
            for alpha, width, *accuracy in _MOBILENET
        ),
        Published(
            "mobilenet-timm", "mobilenet", "timm",
            f"{HUB}mobilenetv1_100.ra4_e3600_r224_in1k/resolve/main/model.safetensors", "", "Apache 2.0", 75.388, None,
        ),
        Published(
            "xception-timm", "xception", "timm",
            "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-cadene/xception-43020ad28.pth",
            _start("xception-43020ad28.pth"), "Apache 2.0", 79.058, 94.396,
        ),
        Published(
            "alexnet-caffe", "alexnet", "caffe", f"{CAFFE}bvlc_alexnet.caffemodel",
            "sha1:9116a64c0fbe4459d18f4bb6b56d647b63920377", "unrestricted use", 57.1, 80.2,
        ),
        Published(
            "googlenet-caffe", "googlenet", "caffe", f"{CAFFE}bvlc_googlenet.caffemodel",
            "sha1:405fc5acd08a3bb12de8ee5e23a96bec22f08204", "unrestricted use", 68.7, 88.9,
        ),
        *(
            Published(
                f"vgg{depth}-caffe", f"vgg{depth}", "caffe", f"{OXFORD}VGG_ILSVRC_{depth}_layers.caffemodel", "",
                "CC BY 4.0 (Oxford's VGG)", None, None,
            )
            for depth in (16, 19)
        ),
        *(
            Published(
                f"{model}-akamaster", model, "akamaster", f"{AKAMASTER}{model}-{start}.th", f"sha256:{start}",
                "BSD 2-Clause", top1, None,
            )
            for model, start, top1 in _AKAMASTER
        ),
    )
}  # fmt: skip


def published(name: str) -> Published:
    """Find an entry by its name, or the first of a model by the model's.

    Raises
    ------
    OptionError
        If nothing is called so; the message gives the nearest name.

    Examples
    --------
    >>> published("resnet50").file
    'resnet50-0676ba61.pth'
    """
    of_model = [entry for entry in CATALOGUE.values() if entry.model == name]
    if name not in CATALOGUE and not of_model:
        raise OptionError(
            f"weights: {name!r} is not in the catalogue{nearest(name, CATALOGUE)} (`minicnn weights list` shows it all)"
        )
    return CATALOGUE.get(name) or of_model[0]
