CREATE TABLE `upstream` (
	`name` text PRIMARY KEY NOT NULL,
	`settings` text NOT NULL,
	`secret` text,
	`created_at` integer NOT NULL,
	`changed_at` integer NOT NULL,
	`version` integer NOT NULL
);
