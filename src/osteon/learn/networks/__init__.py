"""Networks that timm does not have, and what opens those that others trained."""
