import { apiPath } from '../cli/client.ts'
import { EXIT, unless, usageError } from '../cli/failure.ts'
import { columns, lines } from '../cli/output.ts'
import { change, deletes, lists, type Noun, readToDestroy, shows } from '../cli/verb.ts'

const percent = (value: unknown) => `${value} %`

const LIMITS = [
  ['bytes', 'bytesMax'],
  ['repositories', 'repositoriesMax'],
  ['tags', 'tagsMax'],
] as const

const UNITS = ['', 'KiB', 'MiB', 'GiB', 'TiB']

/** `cay quota` */
export const quotas: Noun = {
  summary: 'Manage quotas, which limit what a namespace or the server holds',
  verbs: {
    list: lists(
      'List the quotas and their usage; * is the default of each namespace, ** the whole server',
      '/quotas',
      'There are no quotas: use cay quota set, or [[quota]] in cay.toml.',
      columns(
        `namespace, used: usedPercent | percent, bytes, of: bytesMax, repositories: repositoryCount,
        of: repositoriesMax | count, tags: tagCount, of: tagsMax | count, inherited | yes, configuredIn`,
        { percent },
      ),
    ),
    show: shows(
      '<namespace>',
      'Show the quota of a namespace and its usage',
      pathOf,
      lines(
        `namespace, Used: usedPercent | percent, bytes, Most bytes: bytesMax, Repositories: repositoryCount,
        Most repositories: repositoriesMax | count, Tags: tagCount, Most tags: tagsMax | count, inherited | yes,
        configuredIn`,
        { percent },
      ),
    ),
    set: {
      usage: '<namespace>',
      summary: 'Set the quota of a namespace; "none" removes a limit',
      options: [
        ['--bytes <size>', 'the most bytes of blobs and manifests, deleted ones included: 10GiB'],
        ['--repositories <number>', 'the most repositories'],
        ['--tags <number>', 'the most tags'],
      ],
      run: async ({ client, args: [name = ''], options }) => {
        if (LIMITS.every(([option]) => options[option] === undefined))
          throw usageError('name at least one limit: see cay quota set --help')
        const existing = await unless(
          EXIT.absent,
          readToDestroy<Record<string, unknown>>(client, pathOf(name)),
        )
        const before = existing?.value.inherited === false ? existing : undefined
        const limits = LIMITS.flatMap(([option, limit]): [string, unknown][] => {
          const text = options[option]
          if (text === 'none') return []
          const value = text === undefined ? before?.value[limit] : numberOf(option, text)
          return value === undefined ? [] : [[limit, value]]
        })
        const body = Object.fromEntries(limits)
        return change(client, `set the quota of ${name}`, 'PUT', pathOf(name), body, before?.ifSame ?? {})
      },
    },
    delete: deletes('<namespace>', 'Delete the quota of a namespace', pathOf, (name) => ({
      confirm: `deletes the quota of ${name}`,
      done: `deleted the quota of ${name}`,
    })),
  },
}

function pathOf(name: string): string {
  return apiPath('quotas', name)
}

function numberOf(option: string, text: string): number {
  const [, number, unit = ''] = /^(\d{1,15})([KMGT]iB)?$/.exec(text) ?? []
  if (number !== undefined && (unit === '' || option === 'bytes'))
    return Number(number) * 1024 ** UNITS.indexOf(unit)
  const expected = option === 'bytes' ? 'a size such as 500MiB or 10GiB' : 'a whole number'
  throw usageError(`--${option} is "${text}": expected ${expected}, or "none"`)
}
