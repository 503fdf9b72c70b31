"""What people have set for the whole cluster, in the database."""
