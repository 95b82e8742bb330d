"""How sure a comparison of RDMs is: intervals over subjects and conditions, p-values, corrections for many cells."""
