CREATE TABLE `namespace_blob` (
	`namespace` text NOT NULL,
	`blob_id` integer NOT NULL,
	`links` integer NOT NULL,
	PRIMARY KEY(`namespace`, `blob_id`)
) WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `namespace_usage` (
	`namespace` text PRIMARY KEY NOT NULL,
	`blob_bytes` integer DEFAULT 0 NOT NULL,
	`manifest_bytes` integer DEFAULT 0 NOT NULL,
	`repositories` integer DEFAULT 0 NOT NULL,
	`tags` integer DEFAULT 0 NOT NULL
);
--> statement-breakpoint
CREATE TABLE `quota` (
	`namespace` text PRIMARY KEY NOT NULL,
	`bytes_max` integer,
	`repositories_max` integer,
	`tags_max` integer,
	`version` integer NOT NULL
);
--> statement-breakpoint
-- The sums are kept for the repositories up to this id: none while there is no quota.
INSERT INTO `total` (name, value) VALUES ('quota.counted', 0);--> statement-breakpoint
CREATE TRIGGER `quota_blob_insert` AFTER INSERT ON `repository_blob` WHEN new.repository_id <= (SELECT value FROM `total` WHERE name = 'quota.counted') AND (SELECT upstream FROM `repository` WHERE id = new.repository_id) IS NULL BEGIN
  INSERT INTO `namespace_blob` (namespace, blob_id, links) VALUES ((SELECT substr(name, 1, instr(name || '/', '/') - 1) FROM `repository` WHERE id = new.repository_id), new.blob_id, 1)
    ON CONFLICT (namespace, blob_id) DO UPDATE SET links = links + 1;
  UPDATE `namespace_usage` SET blob_bytes = blob_bytes + (SELECT size FROM `blob` WHERE id = new.blob_id)
    WHERE namespace = (SELECT substr(name, 1, instr(name || '/', '/') - 1) FROM `repository` WHERE id = new.repository_id)
    AND 1 = (SELECT links FROM `namespace_blob` b WHERE b.namespace = namespace_usage.namespace AND b.blob_id = new.blob_id);
END;--> statement-breakpoint
CREATE TRIGGER `quota_blob_delete` AFTER DELETE ON `repository_blob` WHEN old.repository_id <= (SELECT value FROM `total` WHERE name = 'quota.counted') AND (SELECT upstream FROM `repository` WHERE id = old.repository_id) IS NULL BEGIN
  UPDATE `namespace_usage` SET blob_bytes = blob_bytes - (SELECT size FROM `blob` WHERE id = old.blob_id)
    WHERE namespace = (SELECT substr(name, 1, instr(name || '/', '/') - 1) FROM `repository` WHERE id = old.repository_id)
    AND 1 = (SELECT links FROM `namespace_blob` b WHERE b.namespace = namespace_usage.namespace AND b.blob_id = old.blob_id);
  UPDATE `namespace_blob` SET links = links - 1 WHERE namespace = (SELECT substr(name, 1, instr(name || '/', '/') - 1) FROM `repository` WHERE id = old.repository_id) AND blob_id = old.blob_id;
  DELETE FROM `namespace_blob` WHERE namespace = (SELECT substr(name, 1, instr(name || '/', '/') - 1) FROM `repository` WHERE id = old.repository_id) AND blob_id = old.blob_id AND links = 0;
END;--> statement-breakpoint
CREATE TRIGGER `quota_manifest_insert` AFTER INSERT ON `manifest` WHEN new.repository_id <= (SELECT value FROM `total` WHERE name = 'quota.counted') AND (SELECT upstream FROM `repository` WHERE id = new.repository_id) IS NULL BEGIN
  UPDATE `namespace_usage` SET manifest_bytes = manifest_bytes + new.size WHERE namespace IN ((SELECT substr(name, 1, instr(name || '/', '/') - 1) FROM `repository` WHERE id = new.repository_id), '**');
END;--> statement-breakpoint
CREATE TRIGGER `quota_manifest_delete` AFTER DELETE ON `manifest` WHEN old.repository_id <= (SELECT value FROM `total` WHERE name = 'quota.counted') AND (SELECT upstream FROM `repository` WHERE id = old.repository_id) IS NULL BEGIN
  UPDATE `namespace_usage` SET manifest_bytes = manifest_bytes - old.size WHERE namespace IN ((SELECT substr(name, 1, instr(name || '/', '/') - 1) FROM `repository` WHERE id = old.repository_id), '**');
END;--> statement-breakpoint
CREATE TRIGGER `quota_repository_insert` AFTER INSERT ON `repository` WHEN new.upstream IS NULL AND new.id <= (SELECT value FROM `total` WHERE name = 'quota.counted') BEGIN
  INSERT INTO `namespace_usage` (namespace, repositories) VALUES (substr(new.name, 1, instr(new.name || '/', '/') - 1), 1)
    ON CONFLICT (namespace) DO UPDATE SET repositories = repositories + 1;
  UPDATE `namespace_usage` SET repositories = repositories + 1 WHERE namespace = '**';
END;--> statement-breakpoint
CREATE TRIGGER `quota_repository_deleted` AFTER UPDATE OF `deleted_at` ON `repository`
  WHEN (new.deleted_at IS NULL) <> (old.deleted_at IS NULL) AND new.upstream IS NULL AND new.id <= (SELECT value FROM `total` WHERE name = 'quota.counted') BEGIN
  UPDATE `namespace_usage` SET repositories = repositories + iif(new.deleted_at IS NULL, 1, -1),
    tags = tags + iif(new.deleted_at IS NULL, new.tag_count, -old.tag_count) WHERE namespace IN (substr(new.name, 1, instr(new.name || '/', '/') - 1), '**');
END;--> statement-breakpoint
CREATE TRIGGER `quota_repository_cached` AFTER UPDATE OF `upstream` ON `repository`
  WHEN new.upstream IS NOT NULL AND old.upstream IS NULL AND new.id <= (SELECT value FROM `total` WHERE name = 'quota.counted') BEGIN
  UPDATE `namespace_usage` SET repositories = repositories - 1 WHERE namespace IN (substr(new.name, 1, instr(new.name || '/', '/') - 1), '**');
END;--> statement-breakpoint
CREATE TRIGGER `quota_tag_count` AFTER UPDATE OF `tag_count` ON `repository`
  WHEN new.deleted_at IS NULL AND new.upstream IS NULL AND new.id <= (SELECT value FROM `total` WHERE name = 'quota.counted') BEGIN
  UPDATE `namespace_usage` SET tags = tags + new.tag_count - old.tag_count WHERE namespace IN (substr(new.name, 1, instr(new.name || '/', '/') - 1), '**');
END;
