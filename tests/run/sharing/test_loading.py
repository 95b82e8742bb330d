from __future__ import annotations

import pytest

from brainnet.run.sharing.loading import load_encoder


def test_what_is_no_encoder(tmp_path):
    with pytest.raises(FileNotFoundError, match="OWNER/NAME"):
        load_encoder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_encoder(tmp_path)
