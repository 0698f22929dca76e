import { checkFailingDatabase } from './failing-database.ts'
import { checkFailingDisk } from './failing-disk.ts'
import { checkOrder } from './order.ts'
import { checkSlowDisk } from './slow-disk.ts'

/**
 * `durability`: checks that content is on disk before it is acknowledged, that a failed sync is never acknowledged, and
 * that a slow disk does not slow down pulls. Needs Debian's strace.
 * @throws Error with the first violation
 */
export async function run(): Promise<void> {
  if (!Bun.which('strace')) throw new Error('strace is missing: run apt-get install strace')
  for (const line of await checkOrder()) console.log(line)
  for (const line of await checkFailingDisk()) console.log(line)
  for (const line of await checkFailingDatabase()) console.log(line)
  for (const line of await checkSlowDisk()) console.log(line)
}
