"""The commands. They hold no logic."""
