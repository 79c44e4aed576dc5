"""How schedules are chosen."""
