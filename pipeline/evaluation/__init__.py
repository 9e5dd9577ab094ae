"""What is measured of one trained network: scores, predictions, masks, plots."""
