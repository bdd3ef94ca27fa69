-- Part of export_page.sql: the line of a result as CSV (RFC 4180). A text that a spreadsheet would take for a formula gets an
-- apostrophe, unless it is a number; analytics/table_formats.py is the same for other lines.
CASE length(r.moment) WHEN 28 THEN substr(r.moment, 2, 26) ELSE to_char(r.event_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') END,
'Z,', r.id, ',',
CASE
    WHEN r.address ~ '^[=+\-@\t\r\n]' AND r.address !~ '^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$'
        THEN '"''' || replace(r.address, '"', '""') || '"'
    WHEN r.address ~ '[",\r\n]' THEN '"' || replace(r.address, '"', '""') || '"'
    ELSE r.address
END,
',',
CASE
    WHEN r.region ~ '^[=+\-@\t\r\n]' AND r.region !~ '^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$'
        THEN '"''' || replace(r.region, '"', '""') || '"'
    WHEN r.region ~ '[",\r\n]' THEN '"' || replace(r.region, '"', '""') || '"'
    ELSE r.region
END,
',', r.job_type, ',',
CASE WHEN r.is_ai THEN
CASE
    WHEN r.pipeline ~ '^[=+\-@\t\r\n]' AND r.pipeline !~ '^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$'
        THEN '"''' || replace(r.pipeline, '"', '""') || '"'
    WHEN r.pipeline ~ '[",\r\n]' THEN '"' || replace(r.pipeline, '"', '""') || '"'
    ELSE r.pipeline
END
END,
',',
CASE WHEN r.is_ai THEN
CASE
    WHEN r.model ~ '^[=+\-@\t\r\n]' AND r.model !~ '^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$'
        THEN '"''' || replace(r.model, '"', '""') || '"'
    WHEN r.model ~ '[",\r\n]' THEN '"' || replace(r.model, '"', '""') || '"'
    ELSE r.model
END
END,
',',
CASE
    WHEN r.tester ~ '^[=+\-@\t\r\n]' AND r.tester !~ '^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$'
        THEN '"''' || replace(r.tester, '"', '""') || '"'
    WHEN r.tester ~ '[",\r\n]' THEN '"' || replace(r.tester, '"', '""') || '"'
    ELSE r.tester
END,
CASE WHEN r.is_scored THEN ',true,' ELSE ',false,' END,
r.success_rate, ',', r.round_trip_time, ',', r.seg_duration,
CASE WHEN $13::boolean THEN ',"' || replace(r.payload::text, '"', '""') || '"' END,
E'\r\n'
