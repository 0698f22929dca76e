import type { Logger } from 'pino'
import type { Config } from '../../config/config-schema.ts'
import type { Clocks } from '../../domain/clock.ts'
import type { Collector } from '../../gc/collector.ts'
import type { Scrub } from '../../integrity/scrub.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { Retention } from '../retention/retention.ts'
import { backupJob } from './backup-job.ts'
import { collectJob, scanJob } from './collector-jobs.ts'
import { Jobs } from './jobs.ts'
import { retentionJob } from './retention-job.ts'

export interface JobParts {
  config: Config
  log: Logger
  clocks: Clocks
  collector: Collector
  scrub: Scrub
  retention: Retention
  metadata: Metadata
}

/** Opens the jobs of a server with the work of each kind. */
export function openJobs({ config, log, clocks, collector, retention, scrub, metadata }: JobParts): Jobs {
  return new Jobs({
    log,
    now: clocks.now,
    work: {
      gc: collectJob(collector),
      scan: scanJob(collector),
      scrub: async ({ signal, progress }) => ({ ...(await scrub.all(signal, progress)) }),
      retain: retentionJob(retention),
      backup: backupJob(config, clocks.wall),
    },
    note: (act) => metadata.write('noteAct', act),
  })
}
