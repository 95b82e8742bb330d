"""Names of the areas of published atlases, for files that hold numbers only.

``TABLES`` says which file names belong to which atlas. Number 0 is no area in all of them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_WANG = """
V1v V1d V2v V2d V3v V3d hV4 VO1 VO2 PHC1 PHC2 TO2 TO1 LO2 LO1 V3B V3A IPS0 IPS1 IPS2 IPS3 IPS4 IPS5 SPL1 FEF
"""
_BENSON = "V1 V2 V3 hV4 VO1 VO2 LO1 LO2 TO1 TO2 V3b V3a"
_HCP = """
V1 MST V6 V2 V3 V4 V8 4 3b FEF PEF 55b V3A RSC POS2 V7 IPS1 FFC V3B LO1 LO2 PIT MT A1 PSL SFL PCV STV 7Pm 7m
POS1 23d v23ab d23ab 31pv 5m 5mv 23c 5L 24dd 24dv 7AL SCEF 6ma 7Am 7PL 7PC LIPv VIP MIP 1 2 3a 6d 6mp 6v p24pr
33pr a24pr p32pr a24 d32 8BM p32 10r 47m 8Av 8Ad 9m 8BL 9p 10d 8C 44 45 47l a47r 6r IFJa IFJp IFSp IFSa p9-46v
46 a9-46v 9-46d 9a 10v a10p 10pp 11l 13l OFC 47s LIPd 6a i6-8 s6-8 43 OP4 OP1 OP2-3 52 RI PFcm PoI2 TA2 FOP4 MI
Pir AVI AAIC FOP1 FOP3 FOP2 PFt AIP EC PreS H ProS PeEc STGa PBelt A5 PHA1 PHA3 STSda STSdp STSvp TGd TE1a TE1p
TE2a TF TE2p PHT PH TPOJ1 TPOJ2 TPOJ3 DVT PGp IP2 IP1 IP0 PFop PF PFm PGi PGs V6A VMV1 VMV3 PHA2 V4t FST V3CD
LO3 VMV2 31pd 31a VVC 25 s32 pOFC PoI1 Ig FOP5 p10p p47r TGv MBelt LBelt A4 STSva TE1m PI a32pr p24
"""
# Wang et al. (2015). Another order of 12 to 17 (V3a, V3b, LO1, ...) is in use elsewhere; it is wrong for these files.
WANG = tuple(_WANG.split())
BENSON = tuple(_BENSON.split())  # Benson et al. (2014), as numbered in benson14_varea
HCP = tuple(_HCP.split())  # Glasser et al. (2016), the 180 areas of a hemisphere in the order of the atlas


class Known(NamedTuple):
    """An atlas that is recognized by the name of its files: what its regions are prefixed with, and its areas."""

    name: str
    areas: tuple[str, ...]


_BY_FILE = (
    (r"wang_?(20)?15", Known("Wang2015", WANG)),
    (r"kastner2015", Known("Kastner2015", WANG)),
    (r"benson_?(20)?14_varea", Known("Benson2014", BENSON)),
    (r"glasser_?(20)?16|hcp[-_]?mmp1|q1-q6_relatedvalidation210", Known("HCP_MMP1", HCP)),
    (r"schaefer2018_(?P<parcels>\d+)parcels_(?P<networks>\d+)networks", Known("Schaefer{parcels}_{networks}", ())),
)


def known_atlas(file: str) -> Known | None:
    """The atlas that a file of this name belongs to; areas are empty where its files name their own.

    >>> known_atlas("lh.wang15_mplbl.v1_0.mgz").name
    'Wang2015'
    >>> known_atlas("rh.Schaefer2018_1000Parcels_7Networks_order.annot")
    Known(name='Schaefer1000_7', areas=())
    """
    for pattern, known in _BY_FILE:
        found = re.search(pattern, file.lower())
        if found:
            return known._replace(name=known.name.format(**found.groupdict()))
    return None
