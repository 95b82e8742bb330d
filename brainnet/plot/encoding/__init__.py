"""Figures of encoding scores: by ROI, by layer, by sensor, the best model of each voxel."""
