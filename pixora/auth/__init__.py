"""`/api/auth`: sign-up, login, refresh, logout, verification and recovery; the guards of all routes."""
