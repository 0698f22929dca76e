import type { AdminClient } from './admin-client.ts'
import { asMoment } from './output/shown.ts'
import type { Terminal } from './output/terminal.ts'

/**
 * What a question says of the way back: `cay tag restore brings it back until ...`. Only a server admin may ask for how
 * long that is; whoever might be none hears that there is an end.
 */
export async function wayBack(client: AdminClient, terminal: Terminal, command: string): Promise<string> {
  if (!client.isOwner) return `${command} brings it back within the time machine's window`
  const { garbageWindow } = await client.request<{ garbageWindow: { windowSeconds: number } }>(
    'GET',
    '/collector',
  )
  const until = new Date(terminal.now() + garbageWindow.windowSeconds * 1000).toISOString()
  return `${command} brings it back until ${asMoment(until, terminal)}`
}
