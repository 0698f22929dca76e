ALTER TABLE `repository` ADD `blob_count` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `repository` ADD `blob_bytes` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `repository` ADD `own_bytes` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX `event_repository` ON `event` (`repository`,`id`);--> statement-breakpoint
CREATE INDEX `repository_blob_repository` ON `repository_blob` (`repository_id`);--> statement-breakpoint
UPDATE `repository` SET blob_count = sums.links, blob_bytes = sums.bytes, own_bytes = sums.own
  FROM (SELECT l.repository_id, count(*) AS links, sum(b.size) AS bytes,
    sum(iif(EXISTS (SELECT 1 FROM `repository_blob` o WHERE o.blob_id = l.blob_id AND o.repository_id <> l.repository_id), 0, b.size)) AS own
    FROM `repository_blob` l JOIN `blob` b ON b.id = l.blob_id GROUP BY l.repository_id) sums
  WHERE sums.repository_id = repository.id;--> statement-breakpoint
CREATE TRIGGER `repository_blob_insert` AFTER INSERT ON `repository_blob` BEGIN
  UPDATE `repository` SET blob_count = blob_count + 1, blob_bytes = blob_bytes + (SELECT size FROM `blob` WHERE id = new.blob_id),
    own_bytes = own_bytes + iif(EXISTS (SELECT 1 FROM `repository_blob` o WHERE o.blob_id = new.blob_id AND o.repository_id <> new.repository_id), 0, (SELECT size FROM `blob` WHERE id = new.blob_id))
    WHERE id = new.repository_id;
  UPDATE `repository` SET own_bytes = own_bytes - (SELECT size FROM `blob` WHERE id = new.blob_id)
    WHERE id = (SELECT o.repository_id FROM `repository_blob` o WHERE o.blob_id = new.blob_id AND o.repository_id <> new.repository_id)
    AND 1 = (SELECT count(*) FROM (SELECT 1 FROM `repository_blob` o WHERE o.blob_id = new.blob_id AND o.repository_id <> new.repository_id LIMIT 2));
END;--> statement-breakpoint
CREATE TRIGGER `repository_blob_delete` AFTER DELETE ON `repository_blob` BEGIN
  UPDATE `repository` SET blob_count = blob_count - 1, blob_bytes = blob_bytes - (SELECT size FROM `blob` WHERE id = old.blob_id),
    own_bytes = own_bytes - iif(EXISTS (SELECT 1 FROM `repository_blob` o WHERE o.blob_id = old.blob_id AND o.repository_id <> old.repository_id), 0, (SELECT size FROM `blob` WHERE id = old.blob_id))
    WHERE id = old.repository_id;
  UPDATE `repository` SET own_bytes = own_bytes + (SELECT size FROM `blob` WHERE id = old.blob_id)
    WHERE id = (SELECT o.repository_id FROM `repository_blob` o WHERE o.blob_id = old.blob_id AND o.repository_id <> old.repository_id)
    AND 1 = (SELECT count(*) FROM (SELECT 1 FROM `repository_blob` o WHERE o.blob_id = old.blob_id AND o.repository_id <> old.repository_id LIMIT 2));
END;--> statement-breakpoint
CREATE TRIGGER `blob_total_insert` AFTER INSERT ON `blob` BEGIN
  UPDATE `total` SET value = value + 1 WHERE name = 'blob.count';
  UPDATE `total` SET value = value + new.size WHERE name = 'blob.bytes';
END;--> statement-breakpoint
CREATE TRIGGER `blob_total_delete` AFTER DELETE ON `blob` BEGIN
  UPDATE `total` SET value = value - 1 WHERE name = 'blob.count';
  UPDATE `total` SET value = value - old.size WHERE name = 'blob.bytes';
END;
