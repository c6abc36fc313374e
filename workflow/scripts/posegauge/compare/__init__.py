"""Two or more runs beside each other, the published study among them, and the check against a reference."""
