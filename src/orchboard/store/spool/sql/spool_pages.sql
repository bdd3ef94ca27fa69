-- SQLite: the size of the file.
-- Returns one row: bytes of used pages, bytes of free pages.
SELECT (p.page_count - f.freelist_count) * s.page_size, f.freelist_count * s.page_size
FROM pragma_page_count AS p, pragma_freelist_count AS f, pragma_page_size AS s;
