"""What operators may ask for: one module for each kind of request, all of them pure."""
