"""Commands of the operator's that a keeper runs when something has happened to its PostgreSQL."""
