"""How does work get to workers on several machines? By the database alone (engine.kind = "local"), or by a broker."""
