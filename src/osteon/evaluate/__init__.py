"""What a model's predictions are worth. Works on a predictions table alone, whoever made the model."""
