"""Maps drawn on a brain: flat, folded, in slices, predicted to an image."""
