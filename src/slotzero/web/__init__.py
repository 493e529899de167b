"""What a person sees in a browser: reports of results."""
