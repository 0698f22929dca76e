CREATE TABLE `account_address` (
	`account_id` integer NOT NULL,
	`address` text NOT NULL,
	`last_at` integer NOT NULL,
	PRIMARY KEY(`account_id`, `address`),
	FOREIGN KEY (`account_id`) REFERENCES `account`(`id`) ON UPDATE no action ON DELETE cascade
);
--> statement-breakpoint
CREATE TABLE `audit_notice` (
	`id` integer PRIMARY KEY NOT NULL,
	`kind` text NOT NULL,
	`first_at` integer NOT NULL,
	`at` integer NOT NULL,
	`count` integer NOT NULL,
	`target` text NOT NULL,
	`account` text NOT NULL,
	`credential` text,
	`address` text NOT NULL,
	`request_id` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `audit_notice_kind` ON `audit_notice` (`kind`,`id`);--> statement-breakpoint
CREATE INDEX `audit_notice_same` ON `audit_notice` (`kind`,`account`,`address`,`first_at`);--> statement-breakpoint
ALTER TABLE `signing_key` ADD `ends_at` integer;--> statement-breakpoint
CREATE INDEX `access_grant_pattern` ON `access_grant` (`pattern`);--> statement-breakpoint
CREATE INDEX `account_owner` ON `account` (`owner_id`) WHERE owner_id is not null;--> statement-breakpoint
UPDATE `signing_key` SET `ends_at` = (SELECT min(newer.created_at) + 3600000 FROM `signing_key` newer WHERE newer.created_at > `signing_key`.created_at);
