"""Federated, privacy-preserving recommendation."""
