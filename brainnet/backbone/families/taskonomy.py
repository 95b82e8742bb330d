"""``taskonomy:*``: one encoder for each of 25 visual tasks, with the weights of visual-prior (MIT).

Written anew from the published description; parameters are named as in the published weights. It is a ResNet-50 but for
three things: strides stand in the last block of the first two layers, whose shortcut takes every second place; the pool
keeps the edge; and eight channels at 16 x 16 places are what the decoders of the tasks read.

Reference: Zamir et al. (2018), Taskonomy: disentangling task transfer learning, CVPR; Sax et al. (2018), Mid-level
visual representations improve generalization and sample efficiency for learning visuomotor policies, arXiv:1812.11971.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from brainnet._registry import takes_options_of
from brainnet.backbone.families._published import Published, build_published
from brainnet.backbone.hooks import HookedBackbone
from brainnet.tokens import Preprocessing

ADDRESS = "https://github.com/alexsax/visual-prior/raw/networks/assets/pytorch/{}_encoder-{}.pth"
HASHES = {
    "autoencoding": "e35146c09253720e97c0a7f8ee4e896ac931f5faa1449df003d81e6089ac6307",
    "class_object": "4a4e42dad58066039a0d2f9d128bb32e93a7e4aa52edb2d2a07bcdd1a6536c18",
    "class_scene": "ad85764467cddafd98211313ceddebb98adf2a6bee2cedfe0b922a37ae65eaf8",
    "colorization": "5ed817acdd28d13e443d98ad15ebe1c3059a3252396a2dff6a2090f6f86616a5",
    "curvature": "3767cf5d06d9c6bca859631eb5a3c368d66abeb15542171b94188ffbe47d7571",
    "denoising": "b64cab95af4a2c565066a7e8effaf37d6586c3b9389b47fff9376478d849db38",
    "depth_euclidean": "88f18d41313de7dbc88314a7f0feec3023047303d94d73eb8622dc40334ef149",
    "depth_zbuffer": "cc343a8ed622fd7ee3ce54398be8682bbbbfb5d11fa80e8d03a56a5ae4e11b09",
    "edge_occlusion": "5ac3f3e918131f61e01fe95e49f462ae2fc56aa463f8d353ca84cd4e248b9c08",
    "edge_texture": "be2d686a6a4dfebe968d16146a17176eba37e29f736d5cd9a714317c93718810",
    "egomotion": "9aa647c34bf98f9e491e0b37890d77566f6ae35ccf41d9375c674511318d571c",
    "fixated_pose": "78cf321518abc16f9f4782b9e5d4e8f5d6966c373d951928a26f872e55297567",
    "inpainting": "bf96fbaaea9268a820a19a1d13dbf6af31798f8983c6d9203c00fab2d236a142",
    "jigsaw": "0c2b342c9080f8713c178b04aa6c581ed3a0112fecaf78edc4c04e0a90516e39",
    "keypoints2d": "6b77695acff4c84091c484a7b128a1e28a7e9c36243eda278598f582cf667fe0",
    "keypoints3d": "7e3f1ec97b82ae30030b7ea4fec2dc606b71497d8c0335d05f0be3dc909d000d",
    "nonfixated_pose": "3433a600ca9ff384b9898e55d86a186d572c2ebbe4701489a373933e3cfd5b8b",
    "normal": "f5e2c7737e4948e3b2a822f584892c342eaabbe66661576ba50db7cdd40561c5",
    "point_matching": "4bd2a6b2909d9998fabaf0278ab568f42f2b692a648e28555ede6c6cda5361f4",
    "reshading": "de456246e171dc8407fb2951539aa60d75925ae0f1dbb43f110b7768398b36a6",
    "room_layout": "1e1662f43b834261464b1825227a04efba59b50cc8883bee9adc3ddafd4796c1",
    "segment_semantic": "bb3007244520fc89cd111e099744a22b1e5c98cd83ed3f116fbff6376d220127",
    "segment_unsup2d": "b679053a920e8bcabf0cd454606098ae85341e054080f2be29473971d4265964",
    "segment_unsup25d": "7d12d2500c18c003ffc23943214f5dfd74932f0e3d03dde2c3a81ebc406e31a0",
    "vanishing_point": "afd2ae9b71d46a54efc5231b3e38ebc3e35bfab78cb0a78d9b75863a240b19a8",
}
LAYERS = {"layer1": (64, 3, 2), "layer2": (128, 4, 2), "layer3": (256, 6, 1), "layer4": (512, 3, 1)}
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601
SIGNED = Preprocessing((256, 256), (0.5,) * 3, (0.5,) * 3)  # pixels from -1 to 1


class Bottleneck(nn.Module):
    """A residual block of three convolutions, the middle one with the stride.

    Args:
        before, width: channels of its input, and of its middle; its output has four times as many.
        stride: of a shortcut too, which takes every second place.
    """

    def __init__(self, before: int, width: int, stride: int = 1):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU()
        shortcut: list[nn.Module] = []
        if before != 4 * width:
            shortcut = [nn.Conv2d(before, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)]
        if stride > 1:
            shortcut.append(nn.MaxPool2d(1, stride))
        self.downsample = nn.Sequential(*shortcut) if shortcut else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, 4 * width, h, w)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class Encoder(nn.Module):
    """An encoder of Taskonomy: eight channels at a sixteenth of the image's side, each normalized over its places.

    Args:
        n_colors: channels of its input; one is the luminance.
        normalize: whether its output is.
    """

    def __init__(self, n_colors: int = 3, normalize: bool = True):
        super().__init__()
        self.n_colors = n_colors
        self.conv1, self.bn1 = nn.Conv2d(n_colors, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
        before = 64
        for name, (width, n_blocks, stride) in LAYERS.items():
            blocks = [Bottleneck(before if i == 0 else 4 * width, width) for i in range(n_blocks - 1)]
            before = 4 * width
            self.add_module(name, nn.Sequential(*blocks, Bottleneck(before, width, stride)))
        self.compress1, self.compress_bn = nn.Conv2d(before, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.relu1 = nn.ReLU()
        self.groupnorm = nn.GroupNorm(8, 8, affine=False) if normalize else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """(B, 8, h, w) for images (B, 3, H, W) from -1 to 1."""
        if self.n_colors == 1:
            images = (images * images.new_tensor(LUMINANCE)[:, None, None]).sum(1, keepdim=True)
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.groupnorm(self.relu1(self.compress_bn(self.compress1(x))))


TABLE = {
    task: Published(
        partial(Encoder, 1 if task == "colorization" else 3),
        ADDRESS.format(task, digest),
        whole="encoding",
        preprocessing=SIGNED,
    )
    for task, digest in HASHES.items()
}


@takes_options_of(build_published)
def build(variant: str | None, **options: Any) -> HookedBackbone:
    """The encoder of a task, such as "normal" or "class_object"; its output is the layer ``"encoding"``.

    Images are 256 pixels wide, from -1 to 1, as the encoders were trained; of "colorization", which was trained on
    gray images, they become their luminance. ``options`` are those of ``build_published``: layers, weights, seed,
    preprocessing.

    >>> build("normal", weights="random", layers=["encoding"]).layer_widths
    (8,)
    """
    return build_published("taskonomy", TABLE, variant, **options)


def variants() -> list[str]:
    """What can follow "taskonomy:"."""
    return list(TABLE)


def describe() -> list[dict]:
    """What the table of networks says of each."""
    from brainnet.backbone.facts.published import describe_encoders

    return list(describe_encoders({task: one.address for task, one in TABLE.items()}))
