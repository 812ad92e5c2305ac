"""The monitor's parts: what was asked and answered in a window, and what is to be said of it."""
