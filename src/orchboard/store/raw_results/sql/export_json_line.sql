-- Part of export_page.sql: the line of a result as JSON. to_json is faster than to_char, but leaves zeros out.
'{"event_time":"',
CASE length(r.moment) WHEN 28 THEN substr(r.moment, 2, 26) ELSE to_char(r.event_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') END,
'Z","id":', r.id,
',"orchestrator":', to_json(r.address),
r.json, CASE WHEN r.is_ai THEN to_json(r.pipeline)::text ELSE '""' END,
',"model":', CASE WHEN r.is_ai THEN to_json(r.model)::text ELSE '""' END,
',"tester":', coalesce(r.tester_json, '""'),
CASE WHEN r.is_scored THEN ',"scored":true,"success_rate":' ELSE ',"scored":false,"success_rate":' END, r.success_rate,
',"round_trip_time":', r.round_trip_time,
',"seg_duration":', r.seg_duration,
CASE WHEN $13::boolean THEN concat(',"payload":', CASE WHEN $12::text = 'text' THEN to_json(r.payload::text)::text ELSE r.payload::text END) END,
E'}\n'
