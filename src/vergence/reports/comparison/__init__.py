"""Results before and after: what kind they are, what they share, and the page that says what changed."""
