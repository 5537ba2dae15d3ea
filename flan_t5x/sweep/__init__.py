"""Many training runs that differ in some bindings, and one table and page about them."""
