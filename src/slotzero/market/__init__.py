"""What a token is called and what it costs: metadata and the price feed, both cached, neither on the hot path."""
