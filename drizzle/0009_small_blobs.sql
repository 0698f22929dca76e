CREATE TABLE `blob_bytes` (
	`blob_id` integer PRIMARY KEY NOT NULL,
	`bytes` blob NOT NULL,
	FOREIGN KEY (`blob_id`) REFERENCES `blob`(`id`) ON UPDATE no action ON DELETE cascade
);
