"""Reports and model cards: results as data, then as HTML and Markdown."""
