"""The networks: built, exported, converted, trained."""
