"""The healing score: the cortex reader, its cross-validation beside floors, its bundle."""
