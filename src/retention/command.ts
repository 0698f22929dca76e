import { type AdminClient, apiPath, withQuery } from '../cli/client.ts'
import { EXIT, unless, usageError } from '../cli/failure.ts'
import { columns, lines } from '../cli/output.ts'
import {
  type Call,
  change,
  deletes,
  lists,
  type Noun,
  type Option,
  readToDestroy,
  shows,
} from '../cli/verb.ts'
import { kebab } from '../config/settings.ts'
import { startJob } from '../jobs/command.ts'

const SETTINGS: readonly Option[] = [
  ['--repositories <patterns>', 'its repositories, separated by commas: ci/**'],
  ['--tags <patterns>', 'the tags that can expire, separated by commas: pr-* [all]'],
  ['--newest <number>', 'keep this many of the newest tags'],
  ['--order <order>', 'what --newest orders by [pushed]', ['pushed', 'version']],
  ['--pushed-days <days>', 'keep tags that were pushed within this many days'],
  ['--pulled-days <days>', 'keep tags that were pulled or pushed within this many days'],
  ['--keep <patterns>', 'keep tags that match, separated by commas: latest,v*'],
  ['--untagged-days <days>', 'days until a manifest that never had a tag becomes garbage'],
  ['--include-immutable <answer>', 'whether immutable tags can expire, too', ['yes', 'no']],
]

const LISTS = ['repositories', 'tags', 'keep']
const NUMBERS = ['newest', 'pushedDays', 'pulledDays', 'untaggedDays']

const LINES = lines(
  `name, repositories, tags, newest, order, pushedDays, pulledDays, keep, untaggedDays, includeImmutable | yes,
  configuredIn`,
)

/** `cay retention` */
export const retention: Noun = {
  summary: 'Manage retention policies, which decide which tags expire',
  verbs: {
    list: lists(
      'List retention policies',
      '/retention/policies',
      'There are no retention policies: use cay retention set, or [[retention]] in cay.toml.',
      columns(
        'name, repositories, tags, newest, order, pushed: pushedDays, pulled: pulledDays, keep, configuredIn',
      ),
    ),
    show: shows('<policy>', 'Show a retention policy', pathOf, LINES),
    set: {
      usage: '<policy>',
      summary: 'Create a retention policy, or change its settings; "none" removes a setting',
      options: SETTINGS,
      run: async ({ client, args: [name = ''], options }) => {
        if (Object.keys(givenOf(options)).length === 0)
          throw usageError('name at least one setting: see cay retention set --help')
        const { settings, ifSame } = await settingsOf(client, name, options)
        return change(client, `set retention policy ${name}`, 'PUT', pathOf(name), settings, ifSame)
      },
    },
    delete: deletes(
      '<policy>',
      'Delete a retention policy; tags that it has expired stay expired',
      pathOf,
      (name) => ({
        confirm: `deletes the retention policy ${name}`,
        done: `deleted retention policy ${name}`,
      }),
    ),
    test: {
      usage: '[policy]',
      summary: 'List what the policies would do with each tag, and why; with settings, as if they were set',
      isList: true,
      options: [
        ['--repository <repository>', 'only this repository'],
        ['--expiring', 'only tags that would expire'],
        ...SETTINGS,
      ],
      run: test,
    },
    run: {
      summary: 'Apply the policies now; the server also does so regularly',
      isDestructive: true,
      options: [['--detach', 'return at once, without showing progress']],
      run: async (call) => {
        await call.confirm('expires tags; list them with cay retention test --expiring')
        return startJob(call, 'retain')
      },
    },
  },
}

const TESTED = columns(
  'repository, tag | tags, expires | yes, policy, reason, pushedAt, pulled: lastPulledAt',
)

async function test({ client, args: [policy], options }: Call) {
  const { repository, expiring } = options
  const isNew = Object.keys(givenOf(options)).length > 0
  if (isNew && policy === undefined) throw usageError('name the policy that these settings are for')
  const settings = policy === undefined ? {} : (await settingsOf(client, policy, options)).settings
  const texts = Object.entries(settings).map(([name, value]) => [name, String(value)])
  return {
    list: withQuery('/retention/test', { repository, expiring, policy, ...Object.fromEntries(texts) }),
    columns: TESTED,
    none:
      expiring === 'true' ? 'No tag would expire.' : 'There are no tags in the repositories of the policies.',
  }
}

function pathOf(name: string): string {
  return `/retention${apiPath('policies', name)}`
}

/** Returns the settings of a policy, changed as the options say. One that does not exist begins without any. */
async function settingsOf(client: AdminClient, name: string, options: Readonly<Record<string, string>>) {
  const existing = await unless(EXIT.absent, readToDestroy<Record<string, unknown>>(client, pathOf(name)))
  const { name: _, configuredIn: _c, ...before } = existing?.value ?? {}
  const settings = { ...before, ...givenOf(options) }
  const kept = Object.entries(settings).filter(([, value]) => value !== undefined)
  if (!('repositories' in settings))
    throw usageError(`name the repositories of the policy ${name} with --repositories`)
  return { settings: Object.fromEntries(kept), ifSame: existing?.ifSame ?? {} }
}

/** Returns the settings that the options name; undefined for one that is removed. */
function givenOf(options: Readonly<Record<string, string>>): Record<string, unknown> {
  const given: Record<string, unknown> = {}
  const take = (names: readonly string[], parse: (name: string, text: string) => unknown) => {
    for (const name of names) {
      const text = options[name]
      if (text !== undefined) given[name] = text === 'none' ? undefined : parse(name, text)
    }
  }
  take(LISTS, (_, text) => text.split(','))
  take(NUMBERS, wholeNumber)
  if (options.order !== undefined) given.order = options.order
  if (options.includeImmutable !== undefined) given.includeImmutable = options.includeImmutable === 'yes'
  return given
}

function wholeNumber(name: string, text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text)
  throw usageError(`--${kebab(name)} is "${text}": expected a whole number or "none"`)
}
