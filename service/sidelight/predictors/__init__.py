"""Who answers the rows: a model served by Triton, or one in this process, behind `core.predictor.Predictor`."""
