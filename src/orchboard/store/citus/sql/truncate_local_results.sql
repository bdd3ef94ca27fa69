-- Deletes the copies of distributed results on this server, which no statement reads. Needs Citus.
-- Returns nothing of use.
SELECT truncate_local_data_after_distributing_table('events');
