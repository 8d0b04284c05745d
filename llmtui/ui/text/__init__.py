"""Styled text of the screen: spans, and values formatted for it."""
