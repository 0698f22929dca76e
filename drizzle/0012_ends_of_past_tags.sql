ALTER TABLE `tag_history` ADD `previous_expires_at` integer;--> statement-breakpoint
UPDATE `tag_history` SET `previous_expires_at` = `at` WHERE `act` = 'tag.expire';
