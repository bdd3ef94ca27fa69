-- Makes the settings that this transaction sets from here on apply on every node that it writes to. Needs Citus.
SET LOCAL citus.propagate_set_commands = 'local';
