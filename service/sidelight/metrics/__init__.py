"""Quality metrics: one metric, one file. Each is a plan over the maps of any method."""
