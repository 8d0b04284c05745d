"""The monitor's other screens: help, and one backend maximised."""
