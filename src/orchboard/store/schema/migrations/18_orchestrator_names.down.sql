-- Takes back 18: names are forgotten; the results stay.
DROP TABLE orchestrator_names;
