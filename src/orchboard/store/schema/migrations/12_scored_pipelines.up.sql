-- 12: /api/pipelines lists what has a scored result: dashboards show nothing for a model without one. Forgets what was
-- noted of unscored results only. Reads the index of receipt times; waits for nobody, and nobody waits for it.

DELETE FROM pipelines_seen p
USING spans s
WHERE s.level = p.level AND s.span_start = p.span_start
  AND NOT EXISTS (
      SELECT FROM results e
      WHERE e.event_time >= s.span_start AND e.event_time < s.span_end
        AND e.region_id = p.region_id AND e.pipeline = p.pipeline AND e.model = p.model
        AND e.is_scored AND e.orchestrator <> ''
  );
