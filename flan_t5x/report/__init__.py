"""`flan-t5x report`: runs and evaluations as one HTML page."""
