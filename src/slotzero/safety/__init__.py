"""Is the token a honeypot? Layers of evidence, one verdict."""
