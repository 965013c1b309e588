"""What the tests against real servers share. Knows the product by its commands and its HTTP interface alone."""
