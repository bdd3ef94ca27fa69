-- The stored results of one orchestrator in a window, newest first by receipt.
-- $1 orchestrator (lower case), $2 since, $3 until, $4 job type, $5 region, $6 pipeline, $7 model (null: any)
-- Returns region_id, region (the payload's own, null without one), payload (text), lacks (see payload_lacks).
-- None when there is nothing.
SELECT e.region_id, e.payload ->> 'region' AS region, e.payload::text AS payload, e.lacks
FROM results e
WHERE (e.orchestrator = $1::text OR (lower(e.orchestrator) = $1::text AND e.orchestrator <> lower(e.orchestrator)))
  AND e.event_time BETWEEN $2 AND $3
  AND e.region_id = ANY(ARRAY(
      SELECT r.id FROM regions r JOIN job_types j ON j.id = r.job_type_id
      WHERE j.name = $4::text AND ($5::text IS NULL OR r.name = $5)
  ))
  AND ($6::text IS NULL OR e.pipeline = $6)
  AND ($7::text IS NULL OR e.model = $7)
ORDER BY e.event_time DESC, e.id DESC;
