-- Raises the watermark to a time; leaves a later watermark unchanged. Every transaction sees the new value at once.
-- $1 the time
SELECT raise_rollup_watermark($1);
