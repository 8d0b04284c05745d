"""Charts as lines of spans, from values alone."""
