-- The settings of a transaction that distributes results: Citus copies triggers too; on every node they ignore the results that it
-- copies; no statement waits for a time limit. Needs Citus.
SET LOCAL citus.enable_unsafe_triggers = 'on';
SET LOCAL citus.propagate_set_commands = 'local';
SET LOCAL orchboard.is_moving = 'on';
SET LOCAL citus.multi_shard_modify_mode = 'parallel';
SET LOCAL client_min_messages = 'warning';
