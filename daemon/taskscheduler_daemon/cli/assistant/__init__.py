"""What an assistant may read and change, by the Model Context Protocol."""
