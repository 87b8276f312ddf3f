"""The control surface: who may say what to a running daemon, and how it answers."""
