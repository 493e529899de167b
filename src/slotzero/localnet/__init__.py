"""The embedded chain: a Solana VM behind JSON-RPC and WebSocket, with pool programs of our own."""
