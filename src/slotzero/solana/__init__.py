"""Speak Solana: accounts, transactions, JSON-RPC, subscriptions, the VM."""
