"""Addresses that are told twice, in the table and where weights are fetched, are the same."""

from __future__ import annotations

import pytest

from brainnet.backbone.families import original, ssl
from brainnet.backbone.families.original import ModifiedDINO, ModifiedMAE, ModifiedMoCov3, ModifiedSAM
from brainnet.backbone.networks import networks_of

ROWS = {
    network.name: network for family in ("original", "ssl", "cornet", "taskonomy") for network in networks_of(family)
}


@pytest.mark.parametrize(("name", "kind"), [("dino", ModifiedDINO), ("mae", ModifiedMAE), ("mocov3", ModifiedMoCov3)])
def test_addresses_are_those_of_the_families(name, kind):
    for size, (model, address, _) in kind.SIZES.items():
        row = ROWS[f"original:{name}" + ("" if size == "base" else f"-{size}")]
        assert (row.source, f"{row.architecture}_224") == (address, model)


def test_sam_is_at_its_published_names():
    for size, (published, *_) in ModifiedSAM.SIZES.items():
        row = ROWS["original:sam" + ("" if size == "base" else f"-{size}")]
        assert row.source == f"{original.META}/segment_anything/sam_{published}.pth"
        assert row.image_size == 1024


def test_what_is_known_of_single_networks():
    assert ROWS["ssl:barlowtwins_resnet50"].method == "barlow-twins"
    assert ROWS["ssl:simclr_resnet50"].source == ssl.NETWORKS["simclr_resnet50"].address
    assert ROWS["ssl:mae_vitl16"].source.endswith("mae_pretrain_vit_large.pth")
    assert ROWS["cornet:s"].digest == "1d3f7974"
    assert ROWS["cornet:rt"].kind == "recurrent"
    assert ROWS["ssl:dino_xcit_small_12_p16"].series == "xcit"
    assert ROWS["taskonomy:normal"].digest == ROWS["taskonomy:normal"].source[-68:-4]
