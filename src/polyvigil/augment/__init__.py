"""Training posts in further languages, by translation. Scoring never imports this package."""
