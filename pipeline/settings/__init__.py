"""What params.yaml defines: checked values, resolved recipes, trainings and their identity."""
