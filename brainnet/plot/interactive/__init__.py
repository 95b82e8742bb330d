"""The interactive page: one HTML file that a browser shows without a connection."""
