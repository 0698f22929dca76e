// Made by `bun run migrations` from drizzle/*.sql.
import type { MigrationMeta } from 'drizzle-orm/migrator'

/** Every migration of the database, oldest first, for the dialect's migrate. */
export const migrations: MigrationMeta[] = [
  {
    hash: 'ba31cf3925358d32881409124ff1a966a93de04a1e556e7e98154a53ba78eb26',
    folderMillis: 1795513104200,
    bps: true,
    sql: [
      "CREATE TABLE `blob` (\n\t`id` integer PRIMARY KEY NOT NULL,\n\t`digest` blob NOT NULL,\n\t`size` integer NOT NULL,\n\t`stored_at` integer NOT NULL,\n\t`verified_at` integer NOT NULL\n);",
      "CREATE UNIQUE INDEX `blob_digest_unique` ON `blob` (`digest`);",
      "CREATE TABLE `event` (\n\t`id` integer PRIMARY KEY NOT NULL,\n\t`at` integer NOT NULL,\n\t`type` text NOT NULL,\n\t`repository` text NOT NULL,\n\t`digest` blob,\n\t`tag` text,\n\t`account` text,\n\t`credential` text,\n\t`address` text NOT NULL,\n\t`request_id` text NOT NULL\n);",
      "CREATE TABLE `manifest` (\n\t`id` integer PRIMARY KEY NOT NULL,\n\t`repository_id` integer NOT NULL,\n\t`digest` blob NOT NULL,\n\t`media_type` text NOT NULL,\n\t`artifact_type` text,\n\t`subject` blob,\n\t`size` integer NOT NULL,\n\t`pushed_at` integer NOT NULL,\n\t`deleted_at` integer,\n\tFOREIGN KEY (`repository_id`) REFERENCES `repository`(`id`) ON UPDATE no action ON DELETE no action\n);",
      "CREATE UNIQUE INDEX `manifest_digest_unique` ON `manifest` (`digest`,`repository_id`);",
      "CREATE INDEX `manifest_subject` ON `manifest` (`repository_id`,`subject`,`digest`) WHERE subject is not null;",
      "CREATE TABLE `manifest_bytes` (\n\t`digest` blob PRIMARY KEY NOT NULL,\n\t`bytes` blob NOT NULL\n);",
      "CREATE TABLE `manifest_digest` (\n\t`repository_id` integer NOT NULL,\n\t`digest` blob NOT NULL,\n\t`manifest_id` integer NOT NULL,\n\tPRIMARY KEY(`repository_id`, `digest`),\n\tFOREIGN KEY (`manifest_id`) REFERENCES `manifest`(`id`) ON UPDATE no action ON DELETE no action\n);",
      "CREATE INDEX `manifest_digest_of` ON `manifest_digest` (`manifest_id`);",
      "CREATE TABLE `manifest_reference` (\n\t`manifest_id` integer NOT NULL,\n\t`digest` blob NOT NULL,\n\t`role` text NOT NULL,\n\tPRIMARY KEY(`manifest_id`, `digest`),\n\tFOREIGN KEY (`manifest_id`) REFERENCES `manifest`(`id`) ON UPDATE no action ON DELETE no action\n);",
      "CREATE INDEX `manifest_reference_digest` ON `manifest_reference` (`digest`);",
      "CREATE TABLE `repository` (\n\t`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,\n\t`name` text NOT NULL,\n\t`created_at` integer NOT NULL,\n\t`deleted_at` integer\n);",
      "CREATE UNIQUE INDEX `repository_name_unique` ON `repository` (`name`);",
      "CREATE TABLE `repository_blob` (\n\t`repository_id` integer NOT NULL,\n\t`blob_id` integer NOT NULL,\n\t`linked_at` integer NOT NULL,\n\t`unreferenced_at` integer,\n\t`deleted_at` integer,\n\tPRIMARY KEY(`blob_id`, `repository_id`),\n\tFOREIGN KEY (`repository_id`) REFERENCES `repository`(`id`) ON UPDATE no action ON DELETE no action,\n\tFOREIGN KEY (`blob_id`) REFERENCES `blob`(`id`) ON UPDATE no action ON DELETE no action\n);",
      "CREATE INDEX `repository_blob_unreferenced` ON `repository_blob` (`unreferenced_at`) WHERE unreferenced_at is not null;",
      "CREATE TABLE `tag` (\n\t`repository_id` integer NOT NULL,\n\t`name` text NOT NULL,\n\t`manifest_id` integer NOT NULL,\n\t`digest` blob NOT NULL,\n\t`updated_at` integer NOT NULL,\n\tPRIMARY KEY(`repository_id`, `name`),\n\tFOREIGN KEY (`repository_id`) REFERENCES `repository`(`id`) ON UPDATE no action ON DELETE no action,\n\tFOREIGN KEY (`manifest_id`) REFERENCES `manifest`(`id`) ON UPDATE no action ON DELETE no action\n);",
      "CREATE INDEX `tag_manifest` ON `tag` (`manifest_id`);",
      "CREATE TABLE `tag_history` (\n\t`id` integer PRIMARY KEY NOT NULL,\n\t`repository_id` integer NOT NULL,\n\t`name` text NOT NULL,\n\t`digest` blob,\n\t`at` integer NOT NULL,\n\t`account` text,\n\t`credential` text,\n\t`address` text NOT NULL,\n\t`request_id` text NOT NULL\n);",
      "CREATE INDEX `tag_history_tag` ON `tag_history` (`repository_id`,`name`,`id`);",
    ],
  },
  {
    hash: '0836e5faf89bce15f6ce720667114dd762491c4c3fffc38d79c94d62a8ebe005',
    folderMillis: 1795515557460,
    bps: true,
    sql: [
      "CREATE TABLE `access_grant` (\n\t`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,\n\t`subject` text NOT NULL,\n\t`account_id` integer,\n\t`group_id` integer,\n\t`pattern` text NOT NULL,\n\t`role` text NOT NULL,\n\t`created_at` integer NOT NULL,\n\tFOREIGN KEY (`account_id`) REFERENCES `account`(`id`) ON UPDATE no action ON DELETE cascade,\n\tFOREIGN KEY (`group_id`) REFERENCES `account_group`(`id`) ON UPDATE no action ON DELETE cascade\n);",
      "CREATE UNIQUE INDEX `access_grant_subject` ON `access_grant` (`subject`,`pattern`);",
      "CREATE TABLE `account` (\n\t`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,\n\t`name` text NOT NULL,\n\t`kind` text NOT NULL,\n\t`owner_id` integer,\n\t`password_hash` text,\n\t`is_admin` integer NOT NULL,\n\t`created_at` integer NOT NULL,\n\t`disabled_at` integer,\n\tFOREIGN KEY (`owner_id`) REFERENCES `account`(`id`) ON UPDATE no action ON DELETE cascade\n);",
      "CREATE UNIQUE INDEX `account_name_unique` ON `account` (`name`);",
      "CREATE TABLE `account_group` (\n\t`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,\n\t`name` text NOT NULL,\n\t`created_at` integer NOT NULL\n);",
      "CREATE UNIQUE INDEX `account_group_name_unique` ON `account_group` (`name`);",
      "CREATE TABLE `audit` (\n\t`id` integer PRIMARY KEY NOT NULL,\n\t`at` integer NOT NULL,\n\t`action` text NOT NULL,\n\t`target` text NOT NULL,\n\t`detail` text NOT NULL,\n\t`account` text,\n\t`credential` text,\n\t`address` text NOT NULL,\n\t`request_id` text NOT NULL\n);",
      "CREATE INDEX `audit_at` ON `audit` (`at`);",
      "CREATE TABLE `credential` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`account_id` integer NOT NULL,\n\t`kind` text NOT NULL,\n\t`name` text NOT NULL,\n\t`hash` blob NOT NULL,\n\t`created_at` integer NOT NULL,\n\t`expires_at` integer,\n\t`last_used_at` integer,\n\t`scope` text,\n\tFOREIGN KEY (`account_id`) REFERENCES `account`(`id`) ON UPDATE no action ON DELETE cascade\n);",
      "CREATE UNIQUE INDEX `credential_hash_unique` ON `credential` (`hash`);",
      "CREATE INDEX `credential_account` ON `credential` (`account_id`);",
      "CREATE TABLE `group_member` (\n\t`group_id` integer NOT NULL,\n\t`account_id` integer NOT NULL,\n\tPRIMARY KEY(`group_id`, `account_id`),\n\tFOREIGN KEY (`group_id`) REFERENCES `account_group`(`id`) ON UPDATE no action ON DELETE cascade,\n\tFOREIGN KEY (`account_id`) REFERENCES `account`(`id`) ON UPDATE no action ON DELETE cascade\n);",
      "CREATE INDEX `group_member_account` ON `group_member` (`account_id`);",
      "CREATE TABLE `installation` (\n\t`name` text PRIMARY KEY NOT NULL,\n\t`value` text NOT NULL\n);",
      "CREATE TABLE `signing_key` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`private_jwk` text NOT NULL,\n\t`created_at` integer NOT NULL\n);",
    ],
  },
]
