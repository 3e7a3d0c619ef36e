"""Exchanges, by ccxt."""
