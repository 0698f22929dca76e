import { CommandError, EXIT } from '../cli/failure.ts'
import { field, formatText } from '../cli/output.ts'
import type { Noun } from '../cli/verb.ts'
import type { AnswerOf } from '../http/operation.ts'
import type { OperationRoutes } from './models.ts'

function formatMirrors(mirrors: unknown): string {
  return (mirrors as AnswerOf<OperationRoutes, 'server'>['mirrors'])
    .map(({ upstream, address }) => `${upstream} at ${address}`)
    .join(', ')
}

/** `cay server` */
export const server: Noun = {
  summary: 'Show the server: version, health and settings',
  byDefault: 'show',
  verbs: {
    show: {
      summary: 'Show the version, health and settings',
      run: async ({ client }) => {
        if (client.isEmbedded)
          throw new CommandError(
            'no server is running on this data folder: start cay serve',
            EXIT.unreachable,
          )
        const value = await client.request<AnswerOf<OperationRoutes, 'server'>>('GET', '/server')
        return {
          value,
          lines: [
            field('Version', 'version'),
            field('Commit', 'commit'),
            field('Started', 'startedAt', 'local time'),
            field('Time', 'time', 'local time'),
            field('Ready', 'ready', 'yes'),
            field('Problem', 'problem'),
            field('Listens on', 'addresses'),
            field('Mirrors', 'mirrors', formatMirrors),
          ],
          tables: [
            {
              title: 'Settings',
              items: value.settings,
              columns: [field('name', 'name'), field('value', 'value', formatText)],
            },
          ],
        }
      },
    },
  },
}
