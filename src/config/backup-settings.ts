import { boolean, integer, table, text } from './setting.ts'

/** The settings of scheduled backups. */
export const BACKUP_SETTINGS = table({
  folder: text('The folder of scheduled backups; without it there are none'),
  intervalSeconds: integer(60, 31_536_000, 86_400, 'The interval of scheduled backups, in seconds'),
  keep: integer(1, 10_000, 7, 'How many snapshots scheduled backups keep'),
  withCache: boolean(false, 'Include content cached from upstreams'),
})
