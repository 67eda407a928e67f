"""Links: other parties on the bus, in other processes or on other machines."""
