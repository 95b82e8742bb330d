"""Figures of a trained read-out: its selectors, its windows, its channels."""
