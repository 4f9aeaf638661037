"""Scripts that train the weights which keyact ships; not part of the installed package."""
