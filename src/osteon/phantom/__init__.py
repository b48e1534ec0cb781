"""Radiographs whose truth is known: anatomy, physics and cohorts. Phantom figures are never clinical ones."""
