"""The page of the audit log: what people have done."""
