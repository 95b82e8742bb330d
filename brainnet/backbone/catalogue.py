"""The networks there are: a family is a file in ``families/``, or announced by another package."""

from __future__ import annotations

from brainnet._registry import Registry

BACKBONES = Registry("backbone", group="brainnet.backbones", folder="brainnet.backbone.families")
