"""The pages on which people review: ``app.create_app`` makes the application of one open store."""
