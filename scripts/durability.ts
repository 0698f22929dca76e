import { checkFailingDatabase } from './durability/failing-database.ts'
import { checkFailingDisk } from './durability/failing-disk.ts'
import { checkOrder } from './durability/order.ts'
import { checkSlowDisk } from './durability/slow-disk.ts'

/**
 * `durability`: what is acknowledged is on disk before, a sync that fails is never acknowledged, and a slow disk does
 * not slow pulls. Needs Debian's strace.
 * @throws Error that names the first promise that is not kept
 */
export async function run(): Promise<void> {
  if (!Bun.which('strace')) throw new Error('this needs strace: `apt-get install strace`')
  for (const line of await checkOrder()) console.log(line)
  for (const line of await checkFailingDisk()) console.log(line)
  for (const line of await checkFailingDatabase()) console.log(line)
  for (const line of await checkSlowDisk()) console.log(line)
}
