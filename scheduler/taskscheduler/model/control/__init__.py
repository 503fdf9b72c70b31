"""What people have set for the whole cluster: values and rules, pure."""
