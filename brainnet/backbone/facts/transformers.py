"""Well-known networks of the Hugging Face hub that the family ``transformers`` reads; any other of its kinds is too.

Their sizes stand in files of the hub, so that building one needs a network connection, also with random weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

NEEDS = "a network connection, for the settings of the network"


class Series(NamedTuple):
    """Networks of one publication.

    Args:
        names: of the repositories, with ``{}`` where ``sizes`` goes.
        sizes: with a blank between them.
        series: the library's word for the kind of model (``model_type``).
        kind, task, training_set, method, image_size, license, reads: see the table of networks.
    """

    names: str
    sizes: str
    series: str
    kind: str
    task: str
    training_set: str
    method: str
    image_size: int | None = 224
    license: str = ""
    reads: str = "image"


_T, _C, _H = "transformer", "convolution", "hybrid"
_R, _M, _K, _L = "representation", "image-text matching", "classification", "language modeling"
_IN1K, _IN22K, _BOTH = "imagenet-1k", "imagenet-22k", "imagenet-22k, imagenet-1k"
_PAIR = "image, text, pair"  # by the option modality
SERIES = (
    Series("facebook/dinov2-{}", "small base large giant", "dinov2", _T, _R, "lvd-142m", "dino-v2", 224, "apache-2.0"),
    Series("facebook/dinov2-with-registers-{}", "small base large giant", "dinov2_with_registers", _T, _R, "lvd-142m",
           "dino-v2", 224, "apache-2.0"),
    Series("facebook/dinov3-{}-pretrain-lvd1689m", "vits16 vits16plus vitb16 vitl16 vith16plus vit7b16", "dinov3_vit",
           _T, _R, "lvd-1689m", "dino-v3", 224, "dinov3-license"),
    Series("facebook/dinov3-convnext-{}-pretrain-lvd1689m", "tiny small base large", "dinov3_convnext", _C, _R,
           "lvd-1689m", "dino-v3", 224, "dinov3-license"),
    Series("facebook/dino-{}", "vits16 vits8 vitb16 vitb8", "vit", _T, _R, _IN1K, "dino", 224, "apache-2.0"),
    Series("facebook/vit-mae-{}", "base large huge", "vit_mae", _T, _R, _IN1K, "mae"),
    Series("facebook/vit-msn-{}", "small base large", "vit_msn", _T, _R, _IN1K, "msn"),
    Series("facebook/data2vec-vision-{}", "base large", "data2vec-vision", _T, _R, _IN1K, "data2vec"),
    Series("facebook/ijepa_{}", "vith14_1k vith14_22k vitg16_22k", "ijepa", _T, _R, "", "ijepa"),
    Series("microsoft/beit-{}", "base-patch16-224 large-patch16-224", "beit", _T, _K, _BOTH, "beit, supervised"),
    Series("microsoft/beit-{}", "base-patch16-224-pt22k large-patch16-224-pt22k", "beit", _T, _R, _IN22K, "beit"),
    Series("google/vit-{}", "base-patch16-224 large-patch16-224", "vit", _T, _K, _BOTH, "supervised", 224,
           "apache-2.0"),
    Series("google/vit-{}", "base-patch16-224-in21k large-patch16-224-in21k huge-patch14-224-in21k", "vit", _T, _K,
           _IN22K, "supervised", 224, "apache-2.0"),
    Series("facebook/deit-{}-patch16-224", "tiny small base", "vit", _T, _K, _IN1K, "supervised", 224, "apache-2.0"),
    Series("microsoft/swin-{}-patch4-window7-224", "tiny small base large", "swin", _T, _K, "", "supervised"),
    Series("facebook/convnext-{}-224", "tiny small base large", "convnext", _C, _K, _IN1K, "supervised"),
    Series("facebook/convnextv2-{}-1k-224", "atto femto pico nano tiny base large huge", "convnextv2", _C, _K, _IN1K,
           "fcmae, supervised"),
    Series("microsoft/resnet-{}", "18 34 50 101 152", "resnet", _C, _K, _IN1K, "supervised", 224, "apache-2.0"),
    Series("openai/clip-vit-{}", "base-patch32 base-patch16 large-patch14", "clip", _T, _M, "openai-wit", "clip",
           reads=_PAIR),
    Series("openai/clip-vit-large-patch14-336", "", "clip", _T, _M, "openai-wit", "clip", 336, reads=_PAIR),
    Series("google/siglip-{}", "base-patch16-224 so400m-patch14-224", "siglip", _T, _M, "webli", "siglip", 224,
           "apache-2.0", _PAIR),
    Series("google/siglip-{}", "base-patch16-384 large-patch16-384 so400m-patch14-384", "siglip", _T, _M, "webli",
           "siglip", 384, "apache-2.0", _PAIR),
    Series("google/siglip2-{}", "base-patch16-224 so400m-patch14-224", "siglip", _T, _M, "webli", "siglip-2", 224,
           "apache-2.0", _PAIR),
    Series("google/siglip2-{}", "base-patch16-384 so400m-patch14-384", "siglip", _T, _M, "webli", "siglip-2", 384,
           "apache-2.0", _PAIR),
    Series("kakaobrain/align-base", "", "align", _C, _M, "coyo-700m", "align", 289, reads=_PAIR),
    Series("facebook/sam-vit-{}", "base large huge", "sam", _T, "promptable segmentation", "sa-1b",
           "mae, segment-anything", 1024, "apache-2.0"),
    Series("facebook/sam2-hiera-{}", "tiny small base-plus large", "sam2", _T, "promptable segmentation", "sa-1b, sa-v",
           "mae, segment-anything", 1024, "apache-2.0"),
    Series("facebook/sam2.1-hiera-{}", "tiny small base-plus large", "sam2", _T, "promptable segmentation",
           "sa-1b, sa-v", "mae, segment-anything", 1024, "apache-2.0"),
    Series("facebook/detr-{}", "resnet-50 resnet-101", "detr", _H, "object detection", "coco", "supervised", 800,
           "apache-2.0"),
    Series("facebook/detr-{}-panoptic", "resnet-50 resnet-101", "detr", _H, "panoptic segmentation", "coco",
           "supervised", 800, "apache-2.0"),
    Series("hustvl/yolos-{}", "tiny small base", "yolos", _T, "object detection", "coco", "supervised", None,
           "apache-2.0"),
    Series("facebook/maskformer-swin-{}-coco", "tiny small base large", "maskformer", _T, "panoptic segmentation",
           "coco", "supervised", None),
    Series("facebook/maskformer-swin-{}-ade", "tiny small base large", "maskformer", _T, "semantic segmentation",
           "ade20k", "supervised", None),
    Series("facebook/mask2former-swin-{}-coco-panoptic", "tiny small base large", "mask2former", _T,
           "panoptic segmentation", "coco", "supervised", None),
    Series("facebook/mask2former-swin-{}-coco-instance", "tiny small base large", "mask2former", _T,
           "instance segmentation", "coco", "supervised", None),
    Series("nvidia/segformer-{}-finetuned-ade-512-512", "b0 b1 b2 b3 b4", "segformer", _T, "semantic segmentation",
           "ade20k", "supervised", 512),
    Series("nvidia/segformer-{}-finetuned-cityscapes-1024-1024", "b0 b1 b2 b3 b4 b5", "segformer", _T,
           "semantic segmentation", "cityscapes", "supervised", 1024),
    Series("nvidia/mit-{}", "b0 b1 b2 b3 b4 b5", "segformer", _T, _K, _IN1K, "supervised"),
    Series("Intel/dpt-large", "", "dpt", _T, "depth estimation", "", "supervised", 384, "apache-2.0"),
    Series("sentence-transformers/all-MiniLM-{}-v2", "L6 L12", "bert", _T, "sentence similarity", "", "contrastive",
           None, "apache-2.0", "text"),
    Series("google-bert/bert-{}-uncased", "base large", "bert", _T, _L, "", "masked language modeling", None,
           "", "text"),
    Series("openai-community/gpt2{}", "-medium -large -xl", "gpt2", _T, _L, "webtext", "next-word prediction", None,
           "", "text"),
    Series("openai-community/gpt2", "", "gpt2", _T, _L, "webtext", "next-word prediction", None, "", "text"),
    Series("openai/whisper-{}", "tiny base small medium large-v3", "whisper", _T, "speech recognition", "",
           "supervised", None, "", "sound"),
    Series("facebook/wav2vec2-{}", "base large", "wav2vec2", _T, _R, "librispeech", "wav2vec2", None, "",
           "sound"),
    Series("facebook/hubert-{}", "base-ls960", "hubert", _T, _R, "librispeech", "hubert", None, "", "sound"),
    Series("MIT/ast-finetuned-audioset-10-10-0.4593", "", "audio-spectrogram-transformer", _T, "audio classification",
           "audioset", "supervised", None, "", "sound"),
    Series("MCG-NJU/videomae-{}", "base large", "videomae", _T, _R, "kinetics-400", "mae", 224, "",
           "video"),
    Series("facebook/timesformer-base-finetuned-k400", "", "timesformer", _T, "video classification", "kinetics-400",
           "supervised", 224, "", "video"),
    Series("facebook/vjepa2-{}", "vitl-fpc64-256 vith-fpc64-256 vitg-fpc64-256", "vjepa2", _T, _R, "", "jepa", 256,
           "", "video"),
)  # fmt: skip


def describe() -> Iterator[dict[str, Any]]:
    """A record for every repository."""
    for one in SERIES:
        for size in one.sizes.split() or [""]:
            name = one.names.format(size)
            yield {"variant": name, "architecture": name.partition("/")[2], "series": one.series, "kind": one.kind,
                   "task": one.task, "training_set": one.training_set, "method": one.method,
                   "image_size": one.image_size, "license": one.license, "source": f"https://huggingface.co/{name}",
                   "needs": NEEDS, "reads": one.reads}  # fmt: skip
