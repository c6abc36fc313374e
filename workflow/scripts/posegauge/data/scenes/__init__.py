"""The synthetic scenes that the repository brings along."""
