"""A simulated subject: images, maps planted on the cortex, noisy responses, and how much of the truth is found again."""
