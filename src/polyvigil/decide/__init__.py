"""From stored probabilities to decisions: arithmetic only, no model is run here."""
