"""The committed JSON Schema of keyact's results.

``python -m keyact.schema`` prints the schema of the installed code; a new version of the result
types gets a new file, and the old ones stay.
"""
