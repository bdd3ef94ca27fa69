-- Raises the watermark of every worker, as `raise_watermark` does here. Needs Citus.
-- $1 the time
-- Returns success, result, a row for each worker.
SELECT success, result
FROM run_command_on_workers(format(
    $command$
    SELECT setval('%1$I.rollup_watermark', greatest(last_value, %2$s)) FROM %1$I.rollup_watermark
    $command$,
    current_schema(), floor(extract(EPOCH FROM $1::timestamptz))::bigint
));
