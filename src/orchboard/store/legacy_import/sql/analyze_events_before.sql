-- Has the planner, and `takeover`, know about how many old results there are. Returns nothing.
ANALYZE events_before;
