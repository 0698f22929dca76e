ALTER TABLE `account` ADD `version` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `account_group` ADD `version` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `manifest` ADD `version` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `repository` ADD `version` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `tag` ADD `version` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
INSERT INTO `total` (`name`, `value`) VALUES ('version', 0);
