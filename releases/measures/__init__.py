"""Measures: each declared once in `catalogue/`, compiled to one SQL, and run on the record or on a release."""
