"""Comparing two versions: the design, the rule, the family, the course; the workers that measure; stored results."""
