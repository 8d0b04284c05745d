"""Parts of the screen as lines of spans: pure functions of a run and what the user chose."""
