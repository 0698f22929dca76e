CREATE TABLE `blob` (
	`id` integer PRIMARY KEY NOT NULL,
	`digest` blob NOT NULL,
	`size` integer NOT NULL,
	`stored_at` integer NOT NULL,
	`verified_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `blob_digest_unique` ON `blob` (`digest`);--> statement-breakpoint
CREATE TABLE `event` (
	`id` integer PRIMARY KEY NOT NULL,
	`at` integer NOT NULL,
	`type` text NOT NULL,
	`repository` text NOT NULL,
	`digest` blob,
	`tag` text,
	`account` text,
	`credential` text,
	`address` text NOT NULL,
	`request_id` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `manifest` (
	`id` integer PRIMARY KEY NOT NULL,
	`repository_id` integer NOT NULL,
	`digest` blob NOT NULL,
	`media_type` text NOT NULL,
	`artifact_type` text,
	`subject` blob,
	`size` integer NOT NULL,
	`pushed_at` integer NOT NULL,
	`deleted_at` integer,
	FOREIGN KEY (`repository_id`) REFERENCES `repository`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `manifest_digest_unique` ON `manifest` (`digest`,`repository_id`);--> statement-breakpoint
CREATE INDEX `manifest_subject` ON `manifest` (`repository_id`,`subject`,`digest`) WHERE subject is not null;--> statement-breakpoint
CREATE TABLE `manifest_bytes` (
	`digest` blob PRIMARY KEY NOT NULL,
	`bytes` blob NOT NULL
);
--> statement-breakpoint
CREATE TABLE `manifest_digest` (
	`repository_id` integer NOT NULL,
	`digest` blob NOT NULL,
	`manifest_id` integer NOT NULL,
	PRIMARY KEY(`repository_id`, `digest`),
	FOREIGN KEY (`manifest_id`) REFERENCES `manifest`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `manifest_digest_of` ON `manifest_digest` (`manifest_id`);--> statement-breakpoint
CREATE TABLE `manifest_reference` (
	`manifest_id` integer NOT NULL,
	`digest` blob NOT NULL,
	`role` text NOT NULL,
	PRIMARY KEY(`manifest_id`, `digest`),
	FOREIGN KEY (`manifest_id`) REFERENCES `manifest`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `manifest_reference_digest` ON `manifest_reference` (`digest`);--> statement-breakpoint
CREATE TABLE `repository` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`name` text NOT NULL,
	`created_at` integer NOT NULL,
	`deleted_at` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `repository_name_unique` ON `repository` (`name`);--> statement-breakpoint
CREATE TABLE `repository_blob` (
	`repository_id` integer NOT NULL,
	`blob_id` integer NOT NULL,
	`linked_at` integer NOT NULL,
	`unreferenced_at` integer,
	`deleted_at` integer,
	PRIMARY KEY(`blob_id`, `repository_id`),
	FOREIGN KEY (`repository_id`) REFERENCES `repository`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`blob_id`) REFERENCES `blob`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `repository_blob_unreferenced` ON `repository_blob` (`unreferenced_at`) WHERE unreferenced_at is not null;--> statement-breakpoint
CREATE TABLE `tag` (
	`repository_id` integer NOT NULL,
	`name` text NOT NULL,
	`manifest_id` integer NOT NULL,
	`digest` blob NOT NULL,
	`updated_at` integer NOT NULL,
	PRIMARY KEY(`repository_id`, `name`),
	FOREIGN KEY (`repository_id`) REFERENCES `repository`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`manifest_id`) REFERENCES `manifest`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `tag_manifest` ON `tag` (`manifest_id`);--> statement-breakpoint
CREATE TABLE `tag_history` (
	`id` integer PRIMARY KEY NOT NULL,
	`repository_id` integer NOT NULL,
	`name` text NOT NULL,
	`digest` blob,
	`at` integer NOT NULL,
	`account` text,
	`credential` text,
	`address` text NOT NULL,
	`request_id` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `tag_history_tag` ON `tag_history` (`repository_id`,`name`,`id`);