CREATE TABLE `cache_pin` (
	`pattern` text NOT NULL,
	`reference` text NOT NULL,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`pattern`, `reference`)
);
