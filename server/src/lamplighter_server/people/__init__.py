"""People: users, their roles and scopes, how they sign in, and what they may touch."""
