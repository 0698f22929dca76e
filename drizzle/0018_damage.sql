CREATE TABLE `damaged_content` (
	`digest` blob PRIMARY KEY NOT NULL,
	`kind` text NOT NULL,
	`size` integer NOT NULL,
	`found_at` integer NOT NULL
);
