"""Filters, plan, wallet, execution, position, exits and the journal."""
