CREATE TABLE `retention_due` (
	`repository_id` integer PRIMARY KEY NOT NULL,
	`due_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `retention_due_at` ON `retention_due` (`due_at`);--> statement-breakpoint
CREATE TABLE `retention_policy` (
	`name` text PRIMARY KEY NOT NULL,
	`settings` text NOT NULL,
	`created_at` integer NOT NULL,
	`changed_at` integer NOT NULL,
	`version` integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE `tag_history` ADD `reason` text;--> statement-breakpoint
-- Pulls by HEAD and digest were not counted for their tag before.
INSERT INTO `total` (name, value) SELECT 'pulls.since', max(updated_at) FROM `tag` HAVING count(*) > 0;
