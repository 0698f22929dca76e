import type { RootCommand } from '@bomb.sh/tab'
import type { Command } from 'commander'
import { type AdminClient, apiPath, type Page, withQuery } from '../cli/client.ts'
import { type ConnectOptions, type LoadConfig, openRunning } from '../cli/connection.ts'
import { STARTABLE_KINDS } from '../jobs/kinds.ts'

/** How long a completion waits for names. */
const MILLISECONDS_MAX = 150

/** Names that are fetched in one request. */
const NAMES_MAX = 100

/** Where names come from: a list of the API and the field of the name, or the names themselves. */
type Source = readonly string[] | NameList

interface NameList {
  list: string
  field: string
  prefix?: string
  /** The list is sorted by name, and each name is a cursor. */
  isOrdered?: boolean
}

const USERS: Source = { list: '/users', field: 'name', isOrdered: true }
const ROBOTS: Source = { list: '/robots', field: 'name', isOrdered: true }
const GROUPS: Source = { list: '/groups', field: 'name', isOrdered: true }
const REPOSITORIES: Source = { list: '/repositories', field: 'name', isOrdered: true }

function tagsOf([repository = '']: readonly string[]): Source[] {
  return [{ list: `${apiPath('repositories', repository)}/tags`, field: 'name', isOrdered: true }]
}

/** How to complete an argument, by its name; `before` are the arguments before it. */
const SOURCES: Readonly<Record<string, (before: readonly string[]) => Source[]>> = {
  user: () => [USERS],
  robot: () => [ROBOTS],
  account: () => [USERS, ROBOTS],
  accounts: () => [USERS, ROBOTS],
  group: () => [GROUPS],
  subject: () => [['anonymous', 'authenticated'], USERS, ROBOTS, { ...GROUPS, prefix: 'group:' }],
  role: () => [['reader', 'writer', 'admin']],
  repository: () => [REPOSITORIES],
  tag: tagsOf,
  tags: tagsOf,
  reference: tagsOf,
  references: tagsOf,
  job: () => [{ list: '/jobs', field: 'id' }],
  kind: () => [STARTABLE_KINDS],
  policy: () => [{ list: '/retention/policies', field: 'name' }],
  upstream: () => [{ list: '/upstreams', field: 'name' }],
  upload: () => [{ list: '/uploads', field: 'id' }],
  token: ([account = '']) => [{ list: `${apiPath('accounts', account)}/tokens`, field: 'id' }],
}

/**
 * Completes the argument that is being written with names from a running server. If anything fails there are no
 * completions, because an error would disturb the command line.
 */
export async function addNames(
  root: RootCommand,
  program: Command,
  words: readonly string[],
  load: LoadConfig,
): Promise<void> {
  const asked = findArgument(program, words)
  const sources = asked && (tagsAfterColon(asked) ?? SOURCES[asked.argument]?.(asked.before))
  if (asked === undefined || sources === undefined) return
  const argument = root.commands.get(asked.command)?.arguments.get(asked.argument)
  if (argument === undefined) return
  const late = Promise.withResolvers<string[]>()
  const timer = setTimeout(() => late.resolve([]), MILLISECONDS_MAX)
  const names = await Promise.race([late.promise, namesOf(sources, asked, load).catch(() => [])])
  clearTimeout(timer)
  argument.handler = (complete) => {
    for (const name of names) complete(name, '')
  }
}

/** The argument that is being written. */
interface Asked {
  /** `tag show` */
  command: string
  argument: string
  /** The arguments before it. */
  before: string[]
  /** The part that is already written. */
  start: string
  options: ConnectOptions
}

function findArgument(program: Command, words: readonly string[]): Asked | undefined {
  const [noun = '', verb = '', ...rest] = words.slice(0, -1)
  const start = words.at(-1) ?? ''
  const command = program.commands
    .find((one) => one.name() === noun)
    ?.commands.find((one) => one.name() === verb)
  const previous = rest.at(-1) ?? ''
  const isOptionValue = command?.options.some(({ required, short, long }) => {
    return required && (short === previous || long === previous)
  })
  if (command === undefined || isOptionValue || start.startsWith('-')) return undefined
  const operands = operandsOf(command, rest)
  if (operands === undefined) return undefined
  const last = command.registeredArguments.at(-1)
  const argument = command.registeredArguments[operands.length] ?? (last?.variadic ? last : undefined)
  if (argument === undefined) return undefined
  return {
    command: `${noun} ${verb}`,
    argument: argument.name(),
    before: operands,
    start,
    options: command.opts(),
  }
}

/** Returns where the tag of a reference such as `app:1` comes from; undefined for an argument without a colon. */
function tagsAfterColon({ argument, start }: Asked): Source[] | undefined {
  const [repository = '', tag] = start.split(':')
  if (argument !== 'repository' || tag === undefined) return undefined
  return tagsOf([repository]).map((source) => ({ ...(source as NameList), prefix: `${repository}:` }))
}

/** Returns the arguments among the words; undefined if an option has an invalid value. */
function operandsOf(command: Command, words: string[]): string[] | undefined {
  try {
    return command.configureOutput({ writeErr: () => {} }).parseOptions(words).operands
  } catch {
    return undefined
  }
}

async function namesOf(sources: Source[], { start, options }: Asked, load: LoadConfig): Promise<string[]> {
  if (sources.every((source) => Array.isArray(source))) return sources.flat() as string[]
  const client = await openRunning({ options, environment: process.env, load, warn: () => {} })
  if (client === undefined) return []
  const found = await Promise.all(sources.map((source) => readNames(client, source, start)))
  return found.flat()
}

async function readNames(client: AdminClient, source: Source, start: string): Promise<readonly string[]> {
  if (!('list' in source)) return source
  const { list, field, prefix = '', isOrdered = false } = source
  const wanted = start.startsWith(prefix) ? start.slice(prefix.length) : ''
  const query = { limit: NAMES_MAX, cursor: isOrdered ? justBefore(wanted) : undefined }
  const { items } = await client.request<Page>('GET', withQuery(list, query)).catch(() => ({ items: [] }))
  return items.map((item) => `${prefix}${(item as Record<string, unknown>)[field]}`)
}

/** Returns a cursor just before all names that start with this text; no name contains a `~`. */
function justBefore(start: string): string | undefined {
  const code = start.charCodeAt(start.length - 1)
  return start === '' ? undefined : `${start.slice(0, -1)}${String.fromCharCode(code - 1)}~`
}

/**
 * Returns the completion script for bash. It needs no package bash-completion, can be sourced again, and passes what was
 * typed as it is, without evaluating it. Without an answer, bash completes files.
 */
export function bashCompletion(): string {
  return `# bash completion for cay
__cay_complete() {
    local line=\${COMP_LINE:0:COMP_POINT} word start
    local -a words
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    start=\${words[\${#words[@]}-1]}
    COMPREPLY=()
    while IFS=$'\\t' read -r word _; do
        # The last line is a number for other shells.
        [[ $word != :* && $word == "$start"* ]] && COMPREPLY+=("$word")
    done < <("\${words[0]}" complete -- "\${words[@]:1}" 2>/dev/null)
    # bash completes only what follows the last colon or equals sign.
    if [[ $start == *[:=]* ]]; then
        local prefix=\${start%"\${start##*[:=]}"}
        COMPREPLY=("\${COMPREPLY[@]#"$prefix"}")
    fi
}

complete -o bashdefault -o default -F __cay_complete cay
`
}
