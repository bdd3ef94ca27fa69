"""Answers made once: kept while they are true, in every encoding that readers take."""
