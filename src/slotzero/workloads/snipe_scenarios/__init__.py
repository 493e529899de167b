"""The load scenarios: real snipes, with chain, bot and driver in processes of their own."""
