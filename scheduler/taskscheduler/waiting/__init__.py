"""How a program learns that jobs change or finish."""
