"""What a decision is worth: figures with intervals, checks of data, reports."""
