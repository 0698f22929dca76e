import type { Answer } from '../../http/admin/answers.ts'
import { formatRelativeTime } from '../output/format.ts'
import type { Terminal } from '../output/terminal.ts'
import type { AdminClient } from '../remote/admin-client.ts'

/**
 * Returns the part of a confirmation that says how to undo: `it can be restored with cay tag restore until ...`. Only
 * server admins can read the window, so others see no time.
 */
export async function wayBack(
  client: AdminClient,
  terminal: Terminal,
  command: string,
  subject = 'it',
): Promise<string> {
  if (!client.isOwner) return `${subject} can be restored with ${command} for a limited time`
  const { garbageWindow } = await client.request<Answer<'gc'>>('GET', '/gc')
  const until = new Date(terminal.now() + garbageWindow.windowSeconds * 1000).toISOString()
  return `${subject} can be restored with ${command} until ${formatRelativeTime(until, terminal)}`
}
