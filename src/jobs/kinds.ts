/**
 * What a job does: `gc` deletes garbage, `scan` looks for files that no row names, `scrub` verifies all content, `retain`
 * expires tags, and `backup` makes a snapshot.
 */
export const STARTABLE_KINDS = ['gc', 'scan', 'scrub', 'retain', 'backup'] as const
export type StartableKind = (typeof STARTABLE_KINDS)[number]

/** `index` lists the files of layers, or compares images: it starts when a user opens them. */
export const JOB_KINDS = [...STARTABLE_KINDS, 'index'] as const
export type JobKind = (typeof JOB_KINDS)[number]
