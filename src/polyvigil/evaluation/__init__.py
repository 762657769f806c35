"""Bundles measured on labelled posts: metrics, intervals, comparisons, workload."""
