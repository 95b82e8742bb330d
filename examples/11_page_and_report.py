"""
How do I show my results to others?
===================================

A run becomes one file: a page with a brain to turn and ask, or a report with scores, methods and citations.
"""

from pathlib import Path

from PIL import Image

from brainnet.config import load_config
from brainnet.run import fit, write_page, write_report

# %%
# A small run of the demo. ``brainnet demo`` does the same with more images.
cfg = load_config("demo", ["DATASET.N_TRAIN", 300, "DATASET.N_TEST", 60, "TRAINER.MAX_EPOCHS", 12])
metrics = fit(cfg, "demo_run", overwrite=True, progress=False)
print(sorted(path.name for path in Path("demo_run").iterdir()))

# %%
# The page: all maps on an inflated brain. It is one file, which needs no server and no network.
page = write_page(["demo_run"], "demo_page.html", progress=False)
print(f"{page.name}: {page.stat().st_size / 1e6:.1f} MB")

# %%
# The report: scores with ceilings and intervals, figures, the page, methods, citations, limits and the run card.
report = write_report(["demo_run"], "demo_report.html")
print(f"{report.name}: {report.stat().st_size / 1e6:.1f} MB")

# %%
# The maps that both files show are those of the run's own picture.
Image.open("demo_run/maps.png").convert("RGB").resize((1200, 800)).save("maps_of_the_run.png")

# %%
# Attach the report to a paper, and its reader has the numbers, the settings and the versions in one file.
