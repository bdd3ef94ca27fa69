-- SQLite: one row: how many bytes of the file are taken, and how many are free to be used again.
SELECT (p.page_count - f.freelist_count) * s.page_size, f.freelist_count * s.page_size
FROM pragma_page_count AS p, pragma_freelist_count AS f, pragma_page_size AS s;
