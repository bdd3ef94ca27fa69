-- Stores results without Idempotency-Keys, received now, all or none. Sent twice, it is refused the second time: their
-- primary keys are there by then. What `insert_once` does beside that takes 5 to 13 % of the time.
-- Texts with an item a result; a text is sent and taken apart in half the time that an array takes:
-- $1 orchestrators (lower case) and $3 payloads (JSON), with U+001E between; with commas between: $2 region ids,
-- $4 tester ids, empty for null, $6 ids, from `allocate_ids`
-- For all of them: $5 receipt time
-- Returns nothing.
INSERT INTO events (id, event_time, orchestrator, region_id, payload, tester_id)
SELECT id::bigint, $5::timestamptz, orchestrator, region_id::integer, payload::jsonb, tester_id::integer
FROM unnest(
    string_to_array($1::text, chr(30)), string_to_array($2::text, ','), string_to_array($3::text, chr(30)),
    string_to_array($4::text, ',', ''), string_to_array($6::text, ',')
) AS given (orchestrator, region_id, payload, tester_id, id);
