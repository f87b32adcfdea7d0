"""The story: from a folder of labelled scans to a validated model."""
