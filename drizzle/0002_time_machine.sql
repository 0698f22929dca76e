CREATE TABLE `converted_manifest` (
	`repository_id` integer NOT NULL,
	`digest` blob NOT NULL,
	`manifest_id` integer NOT NULL,
	`tag` text NOT NULL,
	PRIMARY KEY(`repository_id`, `digest`),
	FOREIGN KEY (`repository_id`) REFERENCES `repository`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`manifest_id`) REFERENCES `manifest`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE INDEX `converted_manifest_of` ON `converted_manifest` (`manifest_id`);--> statement-breakpoint
CREATE TABLE `total` (
	`name` text PRIMARY KEY NOT NULL,
	`value` integer NOT NULL
);
--> statement-breakpoint
DROP INDEX `repository_name_unique`;--> statement-breakpoint
ALTER TABLE `repository` ADD `description` text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE `repository` ADD `untagged_days` integer;--> statement-breakpoint
ALTER TABLE `repository` ADD `immutable_tags` integer DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE `repository` ADD `pulls` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `repository` ADD `pushes` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `repository` ADD `last_pulled_at` integer;--> statement-breakpoint
ALTER TABLE `repository` ADD `last_pushed_at` integer;--> statement-breakpoint
CREATE UNIQUE INDEX `repository_name` ON `repository` (`name`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `repository_deleted` ON `repository` (`deleted_at`) WHERE deleted_at is not null;--> statement-breakpoint
ALTER TABLE `manifest` ADD `unreferenced_at` integer;--> statement-breakpoint
ALTER TABLE `manifest` ADD `untagged_at` integer;--> statement-breakpoint
CREATE INDEX `manifest_repository` ON `manifest` (`repository_id`);--> statement-breakpoint
CREATE INDEX `manifest_deleted` ON `manifest` (`deleted_at`) WHERE deleted_at is not null;--> statement-breakpoint
CREATE INDEX `manifest_unreferenced` ON `manifest` (`unreferenced_at`) WHERE unreferenced_at is not null;--> statement-breakpoint
CREATE INDEX `manifest_untagged` ON `manifest` (`repository_id`,`untagged_at`) WHERE untagged_at is not null;--> statement-breakpoint
ALTER TABLE `tag` ADD `expires_at` integer;--> statement-breakpoint
ALTER TABLE `tag` ADD `pulls` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `tag` ADD `last_pulled_at` integer;--> statement-breakpoint
CREATE INDEX `tag_expires` ON `tag` (`expires_at`) WHERE expires_at is not null;--> statement-breakpoint
ALTER TABLE `tag_history` ADD `previous` blob;--> statement-breakpoint
UPDATE `tag_history` SET `previous` = (SELECT p.digest FROM `tag_history` p WHERE p.repository_id = `tag_history`.repository_id AND p.name = `tag_history`.name AND p.id < `tag_history`.id ORDER BY p.id DESC LIMIT 1);--> statement-breakpoint
UPDATE `manifest` SET `untagged_at` = pushed_at WHERE deleted_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM `tag` WHERE tag.manifest_id = manifest.id)
  AND NOT EXISTS (SELECT 1 FROM `manifest` s WHERE s.digest = manifest.subject AND s.repository_id = manifest.repository_id AND s.deleted_at IS NULL)
  AND NOT EXISTS (SELECT 1 FROM `manifest_reference` r JOIN `manifest` p ON p.id = r.manifest_id WHERE r.digest = manifest.digest AND p.repository_id = manifest.repository_id AND p.deleted_at IS NULL);--> statement-breakpoint
UPDATE `manifest` SET `unreferenced_at` = cast(unixepoch('subsec') * 1000 AS integer), `untagged_at` = NULL WHERE untagged_at IS NOT NULL
  AND digest IN (SELECT h.digest FROM `tag_history` h WHERE h.repository_id = manifest.repository_id AND h.digest IS NOT NULL);--> statement-breakpoint
INSERT INTO `total` (`name`, `value`) SELECT 'blob.count', count(*) FROM `blob`;--> statement-breakpoint
INSERT INTO `total` (`name`, `value`) SELECT 'blob.bytes', coalesce(sum(size), 0) FROM `blob`;--> statement-breakpoint
CREATE VIRTUAL TABLE `repository_search` USING fts5(name, description, content='repository', content_rowid='id', tokenize='trigram');--> statement-breakpoint
INSERT INTO `repository_search` (`repository_search`) VALUES ('rebuild');--> statement-breakpoint
CREATE TRIGGER `repository_search_insert` AFTER INSERT ON `repository` BEGIN
  INSERT INTO repository_search (rowid, name, description) VALUES (new.id, new.name, new.description);
END;--> statement-breakpoint
CREATE TRIGGER `repository_search_delete` AFTER DELETE ON `repository` BEGIN
  INSERT INTO repository_search (repository_search, rowid, name, description) VALUES ('delete', old.id, old.name, old.description);
END;--> statement-breakpoint
CREATE TRIGGER `repository_search_update` AFTER UPDATE OF name, description ON `repository` BEGIN
  INSERT INTO repository_search (repository_search, rowid, name, description) VALUES ('delete', old.id, old.name, old.description);
  INSERT INTO repository_search (rowid, name, description) VALUES (new.id, new.name, new.description);
END;
