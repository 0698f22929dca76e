CREATE TABLE `manifest_label` (
	`repository_id` integer NOT NULL,
	`label` text NOT NULL,
	`manifest_id` integer NOT NULL,
	PRIMARY KEY(`repository_id`, `label`, `manifest_id`),
	FOREIGN KEY (`manifest_id`) REFERENCES `manifest`(`id`) ON UPDATE no action ON DELETE cascade
) WITHOUT ROWID;
--> statement-breakpoint
CREATE INDEX `manifest_label_of` ON `manifest_label` (`manifest_id`);--> statement-breakpoint
-- The manifests up to this id are read in the background, the newest first.
INSERT INTO `total` (name, value) SELECT 'labels.unread', coalesce(max(id), 0) FROM `manifest`;
