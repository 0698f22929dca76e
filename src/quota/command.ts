import { apiPath } from '../cli/client.ts'
import { CommandError, EXIT } from '../cli/failure.ts'
import { type Field, field } from '../cli/output.ts'
import { change, lists, type Noun, readToDestroy, shows } from '../cli/verb.ts'

const percent = (value: unknown) => `${value} %`

const FIELDS: readonly Field[] = [
  field('namespace', 'namespace'),
  field('used', 'usedPercent', percent),
  field('bytes', 'bytes', 'bytes'),
  field('of', 'bytesMax', 'bytes'),
  field('repositories', 'repositoryCount', 'count'),
  field('of', 'repositoriesMax', 'count'),
  field('tags', 'tagCount', 'count'),
  field('of', 'tagsMax', 'count'),
  field('inherited', 'inherited', 'yes'),
  field('configured in', 'configuredIn'),
]

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
      FIELDS,
    ),
    show: shows(
      '<namespace>',
      'Show the quota of a namespace and its usage',
      (name) => apiPath('quotas', name),
      [
        field('Namespace', 'namespace'),
        field('Used', 'usedPercent', percent),
        field('Bytes', 'bytes', 'bytes'),
        field('Most bytes', 'bytesMax', 'bytes'),
        field('Repositories', 'repositoryCount', 'count'),
        field('Most repositories', 'repositoriesMax', 'count'),
        field('Tags', 'tagCount', 'count'),
        field('Most tags', 'tagsMax', 'count'),
        field('Inherited', 'inherited', 'yes'),
        field('Configured in', 'configuredIn'),
      ],
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
        const path = apiPath('quotas', name)
        if (LIMITS.every(([option]) => options[option] === undefined))
          throw new CommandError('name at least one limit: see cay quota set --help', EXIT.usage)
        const existing = await readToDestroy<Record<string, unknown>>(client, path).catch((error) => {
          if (error instanceof CommandError && error.exit === EXIT.absent) return undefined
          throw error
        })
        const before = existing?.value.inherited === false ? existing : undefined
        const limits = LIMITS.flatMap(([option, limit]): [string, unknown][] => {
          const text = options[option]
          if (text === 'none') return []
          const value = text === undefined ? before?.value[limit] : numberOf(option, text)
          return value === undefined ? [] : [[limit, value]]
        })
        return change(
          client,
          `set the quota of ${name}`,
          'PUT',
          path,
          Object.fromEntries(limits),
          before?.ifSame ?? {},
        )
      },
    },
    delete: {
      usage: '<namespace>',
      summary: 'Delete the quota of a namespace',
      isDestructive: true,
      run: async ({ client, args: [name = ''], confirm }) => {
        const path = apiPath('quotas', name)
        const { ifSame } = await readToDestroy(client, path)
        await confirm(`deletes the quota of ${name}`)
        return change(client, `deleted the quota of ${name}`, 'DELETE', path, undefined, ifSame)
      },
    },
  },
}

function numberOf(option: string, text: string): number {
  const [, number, unit = ''] = /^(\d{1,15})([KMGT]iB)?$/.exec(text) ?? []
  if (number !== undefined && (unit === '' || option === 'bytes'))
    return Number(number) * 1024 ** UNITS.indexOf(unit)
  const expected = option === 'bytes' ? 'a size such as 500MiB or 10GiB' : 'a whole number'
  throw new CommandError(`--${option} is "${text}": expected ${expected}, or "none"`, EXIT.usage)
}
