"""Sets, ends and obeys what people have set for the whole cluster."""
