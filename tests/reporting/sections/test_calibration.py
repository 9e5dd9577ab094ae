import pandas as pd

from pipeline.reporting.sections.calibration import describe_calibration


def test_confidence_is_said_to_be_too_high_or_too_low():
    sure = pd.DataFrame({"confidence": [0.5, 0.9], "accuracy": [0.5, 0.7], "count": [1, 3]})
    said = describe_calibration({"resnet": sure})
    assert "mean confidence 80.0 %, accuracy 65.0 % (overconfident)" in said
    assert "error 15.0 points" in said
