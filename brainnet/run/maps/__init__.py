"""The maps of finished runs: of one, a group, the best model, new images and channels; and as files for others."""
