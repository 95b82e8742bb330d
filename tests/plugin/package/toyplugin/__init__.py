"""Five things brainnet does not have."""
