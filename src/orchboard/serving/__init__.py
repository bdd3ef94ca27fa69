"""Server processes: the socket they share, how they start, replace one another and end."""
