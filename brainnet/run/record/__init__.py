"""The folder of a run: who works in it, its card, its files, and what is known of all runs under a folder."""
