"""The deadman: kills PostgreSQL when its keeper does not confirm in time that it may go on (``k = 0``)."""
