"""slotzero: a Solana new-pool sniper that proves its own speed."""

__all__ = ["__version__"]

__version__ = "0.1.0"
