import type { AdminClient } from './admin-client.ts'
import { CommandError } from './failure.ts'
import { asMoment } from './shown.ts'
import type { Terminal } from './terminal.ts'

/** The server's setting: for how long what is deleted can be brought back. */
const WINDOW_SETTING = 'gc.window-seconds'

/**
 * What a question says of the way back: `cay tag restore brings it back until ...`. Only a server admin may know the
 * server's settings; others hear that there is an end.
 */
export async function wayBack(client: AdminClient, terminal: Terminal, command: string): Promise<string> {
  const seconds = await windowSeconds(client)
  const until =
    seconds === undefined
      ? "within the time machine's window"
      : `until ${asMoment(new Date(terminal.now() + seconds * 1000).toISOString(), terminal)}`
  return `${command} brings it back ${until}`
}

async function windowSeconds(client: AdminClient): Promise<number | undefined> {
  try {
    const { settings } = await client.request<{ settings: { name: string; value?: unknown }[] }>(
      'GET',
      '/server',
    )
    const value = settings.find(({ name }) => name === WINDOW_SETTING)?.value
    return typeof value === 'number' ? value : undefined
  } catch (error) {
    if (error instanceof CommandError) return undefined
    throw error
  }
}
