"""One module per venue: decode its creations and trades, quote, build buy and sell. Pure."""
