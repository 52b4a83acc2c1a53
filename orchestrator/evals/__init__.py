"""Evals: what a router is worth beside the baselines, on recorded or own cases, and how sure that is."""
