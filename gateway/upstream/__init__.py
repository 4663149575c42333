"""Between a backend's name and its connections: its endpoints, which of them gets a call, and when none may."""
