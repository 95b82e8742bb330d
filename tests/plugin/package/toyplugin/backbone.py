"""A family of networks: "blur:fine" and "blur:coarse"."""

from torch.nn import functional as F

SIZES = {"fine": (2, 4), "coarse": (8, 16)}


class Blur:
    """Two blurred copies of the image, each a layer."""

    def __init__(self, sizes, gain):
        self.sizes, self.gain = sizes, gain
        self.layers = [f"blur{size}" for size in sizes]

    def get_tokens(self, images):
        local = {
            name: self.gain * F.avg_pool2d(images, size) for name, size in zip(self.layers, self.sizes, strict=True)
        }
        return local, {name: maps.mean((2, 3)) for name, maps in local.items()}

    def fingerprint(self):
        return {"name": f"blur {self.sizes}", "weights": f"gain {self.gain}"}


def variants():
    return list(SIZES)


def describe():
    for name in SIZES:
        yield {"variant": name, "kind": "blur", "task": "none", "training_set": "none", "method": "untrained",
               "parameters": 0}  # fmt: skip


def build(variant, *, gain=1.0):
    """Blurred copies of the image."""
    return Blur(SIZES[variant or "fine"], gain)
