"""The parts of the screen as lines of spans: pure functions of the run and of what the user chose."""
