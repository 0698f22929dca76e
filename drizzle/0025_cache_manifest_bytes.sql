-- The bytes of cached manifests, once for each repository that has them.
INSERT INTO `total` (`name`, `value`) SELECT 'cache.manifest_bytes', coalesce(sum(`size`), 0) FROM `manifest` WHERE `used_at` IS NOT NULL;--> statement-breakpoint
CREATE TRIGGER `manifest_cached_insert` AFTER INSERT ON `manifest` WHEN new.used_at IS NOT NULL BEGIN
  UPDATE `total` SET value = value + new.size WHERE name = 'cache.manifest_bytes';
END;--> statement-breakpoint
CREATE TRIGGER `manifest_cached_update` AFTER UPDATE OF `used_at` ON `manifest` WHEN (new.used_at IS NULL) <> (old.used_at IS NULL) BEGIN
  UPDATE `total` SET value = value + iif(new.used_at IS NULL, -new.size, new.size) WHERE name = 'cache.manifest_bytes';
END;--> statement-breakpoint
CREATE TRIGGER `manifest_cached_delete` AFTER DELETE ON `manifest` WHEN old.used_at IS NOT NULL BEGIN
  UPDATE `total` SET value = value - old.size WHERE name = 'cache.manifest_bytes';
END;
