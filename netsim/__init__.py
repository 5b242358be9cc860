"""Simulated time, networks, disks and churn around the real peer code."""
