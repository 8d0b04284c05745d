"""The monitor's widgets: each asks a pure function for its lines and paints only the cells that changed."""
