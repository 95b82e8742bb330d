"""One file, one published data set, as its publisher lays it out on disk."""
