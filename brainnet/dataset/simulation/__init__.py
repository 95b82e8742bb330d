"""A simulated subject: images, maps planted on the cortex, noisy responses, and how much is found again."""
