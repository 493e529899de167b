"""What a person sees of a run: the live table, the summary, the result document."""
