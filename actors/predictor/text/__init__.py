"""Text models: from a headline to the probabilities of a negative, neutral and positive tone."""
