import { asMoment, asText, shown } from '../output/shown.ts'
import type { Noun } from '../verb.ts'

/** `cay server` */
export const server: Noun = {
  summary: 'Show the server: version, health and settings',
  byDefault: 'show',
  verbs: {
    show: {
      summary: 'Show the version, health and settings',
      run: async ({ client }) => {
        const value = await client.request<{ settings: unknown[] }>('GET', '/server')
        return {
          value,
          lines: [
            shown('Version', 'version'),
            shown('Commit', 'commit'),
            shown('Started', 'startedAt', asMoment),
            shown('Time', 'now', asMoment),
            shown('Health', 'health'),
          ],
          tables: [
            {
              title: 'Settings',
              items: value.settings,
              columns: [shown('name', 'name'), shown('value', 'value', asText)],
            },
          ],
        }
      },
    },
  },
}
