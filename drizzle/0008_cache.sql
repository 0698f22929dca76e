ALTER TABLE `blob` ADD `is_cached` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `manifest` ADD `used_at` integer;--> statement-breakpoint
CREATE INDEX `manifest_used` ON `manifest` (`used_at`) WHERE used_at is not null;--> statement-breakpoint
ALTER TABLE `repository` ADD `upstream` text;--> statement-breakpoint
ALTER TABLE `repository_blob` ADD `is_cached` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `tag` ADD `checked_at` integer;--> statement-breakpoint
INSERT INTO `total` (`name`, `value`) VALUES ('cache.count', 0), ('cache.bytes', 0);--> statement-breakpoint
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
CREATE TRIGGER `blob_cached_update` AFTER UPDATE OF `is_cached` ON `blob` WHEN new.is_cached <> old.is_cached BEGIN
  UPDATE `total` SET value = value + iif(new.is_cached, 1, -1) WHERE name = 'cache.count';
  UPDATE `total` SET value = value + iif(new.is_cached, new.size, -new.size) WHERE name = 'cache.bytes';
END;--> statement-breakpoint
CREATE TRIGGER `blob_cached_delete` AFTER DELETE ON `blob` WHEN old.is_cached = 1 BEGIN
  UPDATE `total` SET value = value - 1 WHERE name = 'cache.count';
  UPDATE `total` SET value = value - old.size WHERE name = 'cache.bytes';
END;
