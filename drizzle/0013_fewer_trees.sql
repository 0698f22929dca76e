DROP INDEX `event_repository`;--> statement-breakpoint
DROP TRIGGER `blob_total_insert`;--> statement-breakpoint
DROP TRIGGER `blob_total_delete`;--> statement-breakpoint
CREATE TRIGGER `blob_total_insert` AFTER INSERT ON `blob` BEGIN
  UPDATE `total` SET value = value + iif(name = 'blob.count', 1, new.size) WHERE name IN ('blob.count', 'blob.bytes');
END;--> statement-breakpoint
CREATE TRIGGER `blob_total_delete` AFTER DELETE ON `blob` BEGIN
  UPDATE `total` SET value = value - iif(name = 'blob.count', 1, old.size) WHERE name IN ('blob.count', 'blob.bytes');
END;--> statement-breakpoint
CREATE TABLE `__new_repository_blob` (
	`repository_id` integer NOT NULL,
	`blob_id` integer NOT NULL,
	`linked_at` integer NOT NULL,
	`unreferenced_at` integer,
	`deleted_at` integer,
	`is_cached` integer DEFAULT false NOT NULL,
	PRIMARY KEY(`repository_id`, `blob_id`),
	FOREIGN KEY (`repository_id`) REFERENCES `repository`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`blob_id`) REFERENCES `blob`(`id`) ON UPDATE no action ON DELETE no action
) WITHOUT ROWID;
--> statement-breakpoint
INSERT INTO `__new_repository_blob` (`repository_id`, `blob_id`, `linked_at`, `unreferenced_at`, `deleted_at`, `is_cached`)
  SELECT `repository_id`, `blob_id`, `linked_at`, `unreferenced_at`, `deleted_at`, `is_cached` FROM `repository_blob` ORDER BY 1, 2;--> statement-breakpoint
DROP TABLE `repository_blob`;--> statement-breakpoint
ALTER TABLE `__new_repository_blob` RENAME TO `repository_blob`;--> statement-breakpoint
CREATE INDEX `repository_blob_of` ON `repository_blob` (`blob_id`,`repository_id`);--> statement-breakpoint
CREATE INDEX `repository_blob_unreferenced` ON `repository_blob` (`unreferenced_at`,`repository_id`,`blob_id`) WHERE unreferenced_at is not null;--> statement-breakpoint
CREATE TRIGGER `repository_blob_insert` AFTER INSERT ON `repository_blob` BEGIN
  UPDATE `repository` SET blob_count = blob_count + 1, blob_bytes = blob_bytes + (SELECT size FROM `blob` WHERE id = new.blob_id),
    own_bytes = own_bytes + iif(EXISTS (SELECT 1 FROM `repository_blob` o WHERE o.blob_id = new.blob_id AND o.repository_id <> new.repository_id), 0, (SELECT size FROM `blob` WHERE id = new.blob_id))
    WHERE id = new.repository_id;
END;--> statement-breakpoint
CREATE TRIGGER `repository_blob_shared` AFTER INSERT ON `repository_blob`
  WHEN EXISTS (SELECT 1 FROM `repository_blob` o WHERE o.blob_id = new.blob_id AND o.repository_id <> new.repository_id) BEGIN
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
CREATE TRIGGER `repository_blob_cached_insert` AFTER INSERT ON `repository_blob` BEGIN
  UPDATE `blob` SET is_cached = NOT EXISTS (SELECT 1 FROM `repository_blob` l WHERE l.blob_id = new.blob_id AND l.is_cached = 0)
    WHERE id = new.blob_id AND is_cached <> NOT EXISTS (SELECT 1 FROM `repository_blob` l WHERE l.blob_id = new.blob_id AND l.is_cached = 0);
END;--> statement-breakpoint
CREATE TRIGGER `repository_blob_cached_update` AFTER UPDATE OF `is_cached` ON `repository_blob` WHEN new.is_cached <> old.is_cached BEGIN
  UPDATE `blob` SET is_cached = NOT EXISTS (SELECT 1 FROM `repository_blob` l WHERE l.blob_id = new.blob_id AND l.is_cached = 0)
    WHERE id = new.blob_id;
END;--> statement-breakpoint
CREATE TRIGGER `repository_blob_cached_delete` AFTER DELETE ON `repository_blob` WHEN old.is_cached = 0 BEGIN
  UPDATE `blob` SET is_cached = 1
    WHERE id = old.blob_id AND EXISTS (SELECT 1 FROM `repository_blob` l WHERE l.blob_id = old.blob_id)
    AND NOT EXISTS (SELECT 1 FROM `repository_blob` l WHERE l.blob_id = old.blob_id AND l.is_cached = 0);
END;--> statement-breakpoint
CREATE TABLE `__new_manifest_reference` (
	`manifest_id` integer NOT NULL,
	`digest` blob NOT NULL,
	`role` text NOT NULL,
	`repository_id` integer NOT NULL,
	PRIMARY KEY(`manifest_id`, `digest`),
	FOREIGN KEY (`manifest_id`) REFERENCES `manifest`(`id`) ON UPDATE no action ON DELETE no action
) WITHOUT ROWID;
--> statement-breakpoint
INSERT INTO `__new_manifest_reference` (`manifest_id`, `digest`, `role`, `repository_id`)
  SELECT `manifest_id`, `digest`, `role`, `repository_id` FROM `manifest_reference` ORDER BY 1, 2;--> statement-breakpoint
DROP TABLE `manifest_reference`;--> statement-breakpoint
ALTER TABLE `__new_manifest_reference` RENAME TO `manifest_reference`;--> statement-breakpoint
CREATE INDEX `manifest_reference_named` ON `manifest_reference` (`digest`,`repository_id`);--> statement-breakpoint
ALTER TABLE `repository` ADD `tag_count` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `repository` ADD `manifest_count` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `repository` ADD `manifest_bytes` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
UPDATE `repository` SET tag_count = (SELECT count(*) FROM `tag` t WHERE t.repository_id = repository.id);--> statement-breakpoint
UPDATE `repository` SET manifest_count = sums.n, manifest_bytes = sums.bytes
  FROM (SELECT repository_id, count(*) AS n, sum(size) AS bytes FROM `manifest` WHERE deleted_at IS NULL GROUP BY repository_id) sums
  WHERE sums.repository_id = repository.id;--> statement-breakpoint
CREATE TRIGGER `tag_count_insert` AFTER INSERT ON `tag` BEGIN
  UPDATE `repository` SET tag_count = tag_count + 1 WHERE id = new.repository_id;
END;--> statement-breakpoint
CREATE TRIGGER `tag_count_delete` AFTER DELETE ON `tag` BEGIN
  UPDATE `repository` SET tag_count = tag_count - 1 WHERE id = old.repository_id;
END;--> statement-breakpoint
CREATE TRIGGER `manifest_count_insert` AFTER INSERT ON `manifest` WHEN new.deleted_at IS NULL BEGIN
  UPDATE `repository` SET manifest_count = manifest_count + 1, manifest_bytes = manifest_bytes + new.size WHERE id = new.repository_id;
END;--> statement-breakpoint
CREATE TRIGGER `manifest_count_update` AFTER UPDATE OF `deleted_at` ON `manifest` WHEN (new.deleted_at IS NULL) <> (old.deleted_at IS NULL) BEGIN
  UPDATE `repository` SET manifest_count = manifest_count + iif(new.deleted_at IS NULL, 1, -1),
    manifest_bytes = manifest_bytes + iif(new.deleted_at IS NULL, new.size, -new.size) WHERE id = new.repository_id;
END;--> statement-breakpoint
CREATE TRIGGER `manifest_count_delete` AFTER DELETE ON `manifest` WHEN old.deleted_at IS NULL BEGIN
  UPDATE `repository` SET manifest_count = manifest_count - 1, manifest_bytes = manifest_bytes - old.size WHERE id = old.repository_id;
END;
