CREATE TABLE `__new_manifest_reference` (
	`manifest_id` integer NOT NULL,
	`digest` blob NOT NULL,
	`role` text NOT NULL,
	`repository_id` integer NOT NULL,
	PRIMARY KEY(`manifest_id`, `digest`),
	FOREIGN KEY (`manifest_id`) REFERENCES `manifest`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
INSERT INTO `__new_manifest_reference` (`manifest_id`, `digest`, `role`, `repository_id`)
  SELECT r.manifest_id, r.digest, r.role, m.repository_id FROM `manifest_reference` r JOIN `manifest` m ON m.id = r.manifest_id;--> statement-breakpoint
DROP TABLE `manifest_reference`;--> statement-breakpoint
ALTER TABLE `__new_manifest_reference` RENAME TO `manifest_reference`;--> statement-breakpoint
CREATE INDEX `manifest_reference_named` ON `manifest_reference` (`digest`,`repository_id`);--> statement-breakpoint
UPDATE `repository_blob` SET `unreferenced_at` = NULL WHERE unreferenced_at IS NOT NULL
  AND EXISTS (SELECT 1 FROM `manifest_reference` r JOIN `blob` b ON b.digest = r.digest
    WHERE b.id = repository_blob.blob_id AND r.repository_id = repository_blob.repository_id);
