import { CommandError, EXIT } from '../cli/failure.ts'
import { columns, lines } from '../cli/output.ts'
import type { Noun } from '../cli/verb.ts'
import type { AnswerOf } from '../http/operation.ts'
import type { OperationRoutes } from './models.ts'

type Server = AnswerOf<OperationRoutes, 'server'>

const LINES = lines(
  'version, commit, startedAt, Time: time | local time, ready | yes, problem, Listens on: addresses, mirrors | mirrors',
  {
    mirrors: (mirrors) =>
      (mirrors as Server['mirrors']).map(({ upstream, address }) => `${upstream} at ${address}`).join(', '),
  },
)

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
        const value = await client.request<Server>('GET', '/server')
        const settings = { title: 'Settings', items: value.settings, columns: columns('name, value') }
        return { value, lines: LINES, tables: [settings] }
      },
    },
  },
}
