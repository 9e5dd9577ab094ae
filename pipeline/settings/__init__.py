"""What params.yaml asks for: checked values, resolved recipes, trainings and their identity."""
