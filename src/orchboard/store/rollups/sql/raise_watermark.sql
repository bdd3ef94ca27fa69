-- Raises the watermark to a moment; leaves it where it is if that is later. Effective at once for every transaction.
-- $1 the moment
SELECT raise_rollup_watermark($1);
