"""The live monitor: a client of the engine that draws and never measures."""
