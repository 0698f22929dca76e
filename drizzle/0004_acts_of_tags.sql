ALTER TABLE `tag_history` ADD `act` text DEFAULT '' NOT NULL;--> statement-breakpoint
UPDATE `tag_history` SET `act` = CASE WHEN digest IS NOT NULL THEN 'manifest.push'
  WHEN EXISTS (SELECT 1 FROM `manifest` m WHERE m.digest = tag_history.previous AND m.repository_id = tag_history.repository_id AND m.deleted_at = tag_history.at) THEN 'manifest.delete'
  ELSE 'tag.delete' END;--> statement-breakpoint
CREATE INDEX `tag_history_at` ON `tag_history` (`repository_id`,`at`);--> statement-breakpoint
CREATE INDEX `manifest_hidden` ON `manifest` (`repository_id`) WHERE deleted_at is not null;--> statement-breakpoint
CREATE INDEX `tag_updated` ON `tag` (`repository_id`,`updated_at`,`name`);