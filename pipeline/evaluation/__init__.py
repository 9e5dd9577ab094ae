"""What is measured on one trained network: scores, predictions, masks, plots."""
