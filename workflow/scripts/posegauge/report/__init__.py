"""What a run shows: one file per subject, with its table, Markdown, figure and sentences."""
