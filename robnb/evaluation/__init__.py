"""Scoring trained models on clean and corrupted images: predict, score, and the sweep over conditions."""
