"""One fault at a time, at every step in turn: what each leaves behind must heal, and no promise may be broken."""
