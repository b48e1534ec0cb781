"""The networks of Hong 2023, and the random searches over the settings of their heads."""
