"""Self-contained HTML pages: the shell they stand in, elements, tables, charts. No network."""
