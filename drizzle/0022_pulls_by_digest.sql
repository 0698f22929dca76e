-- Pulls by digest, and what was asked for with HEAD, did not count as a use of tags before.
INSERT INTO `total` (name, value) SELECT 'pulls.since', max(max(updated_at), unixepoch() * 1000) FROM `tag` HAVING count(*) > 0
  ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value);
