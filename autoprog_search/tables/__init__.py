"""Tables of growth schedules, to be looked up instead of trained."""
