CREATE TABLE `pull` (
	`id` integer PRIMARY KEY NOT NULL,
	`repository_id` integer NOT NULL,
	`tag` text NOT NULL,
	`day` integer NOT NULL,
	`account` text NOT NULL,
	`pulls` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `pull_of` ON `pull` (`repository_id`,`tag`,`day`,`account`);--> statement-breakpoint
CREATE INDEX `pull_repository` ON `pull` (`repository_id`,`day`);--> statement-breakpoint
CREATE INDEX `pull_day` ON `pull` (`day`,`account`);