-- 2,000 results as the reference server writes them, one a second until now.
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT now() - make_interval(secs => n),
       '0x' || lpad(to_hex(n % 100), 40, '0'),
       (SELECT min(id) FROM regions),
       jsonb_build_object('orchestrator', '0x' || lpad(to_hex(n % 100), 40, '0'), 'success_rate', 1, 'seg_duration', 2, 'round_trip_time', 1.5)
FROM generate_series(1, 2000) n;
