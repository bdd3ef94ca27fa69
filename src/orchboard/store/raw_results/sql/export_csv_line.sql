-- Part of export_page.sql: the line of a result as CSV (RFC 4180). A text that a spreadsheet would take for a formula gets an
-- apostrophe, unless it is a number; analytics/csv_lines.py is the same for other lines.
CASE length(r.moment) WHEN 28 THEN substr(r.moment, 2, 26) ELSE to_char(r.event_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') END,
'Z,', r.id, ',',
CASE
    WHEN lower(r.orchestrator) ~ '^[=+\-@\t\r\n]' AND lower(r.orchestrator) !~ '^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$'
        THEN '"''' || replace(lower(r.orchestrator), '"', '""') || '"'
    WHEN lower(r.orchestrator) ~ '[",\r\n]' THEN '"' || replace(lower(r.orchestrator), '"', '""') || '"'
    ELSE lower(r.orchestrator)
END,
',',
CASE
    WHEN s.region ~ '^[=+\-@\t\r\n]' AND s.region !~ '^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$'
        THEN '"''' || replace(s.region, '"', '""') || '"'
    WHEN s.region ~ '[",\r\n]' THEN '"' || replace(s.region, '"', '""') || '"'
    ELSE s.region
END,
',', s.job_type, ',',
CASE WHEN s.is_ai THEN
CASE
    WHEN r.pipeline ~ '^[=+\-@\t\r\n]' AND r.pipeline !~ '^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$'
        THEN '"''' || replace(r.pipeline, '"', '""') || '"'
    WHEN r.pipeline ~ '[",\r\n]' THEN '"' || replace(r.pipeline, '"', '""') || '"'
    ELSE r.pipeline
END
END,
',',
CASE WHEN s.is_ai THEN
CASE
    WHEN r.model ~ '^[=+\-@\t\r\n]' AND r.model !~ '^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$'
        THEN '"''' || replace(r.model, '"', '""') || '"'
    WHEN r.model ~ '[",\r\n]' THEN '"' || replace(r.model, '"', '""') || '"'
    ELSE r.model
END
END,
',',
CASE
    WHEN t.name ~ '^[=+\-@\t\r\n]' AND t.name !~ '^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$'
        THEN '"''' || replace(t.name, '"', '""') || '"'
    WHEN t.name ~ '[",\r\n]' THEN '"' || replace(t.name, '"', '""') || '"'
    ELSE t.name
END,
CASE WHEN r.is_scored THEN ',true,' ELSE ',false,' END,
r.success_rate, ',', r.round_trip_time, ',', r.seg_duration,
CASE WHEN $13::boolean THEN ',"' || replace(r.payload::text, '"', '""') || '"' END,
E'\r\n'
