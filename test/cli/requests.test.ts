import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { NOUNS } from '../../src/app/commands.ts'
import type { AdminClient } from '../../src/cli/client.ts'
import { openTerminal } from '../../src/cli/output.ts'
import type { Verb } from '../../src/cli/verb.ts'
import { startInProcess } from '../support/server.ts'

/** Only browsers use sessions, watch events and download blobs, and `cay login` is not a verb of a noun. */
const NO_COMMANDS = [
  'createSession',
  'getSession',
  'deleteSession',
  'getCaller',
  'getToken',
  'getSigningKey',
  'watchEvents',
  'downloadBlob',
]

/** Verbs that ask for a password; other verbs use the same operations. */
const ASKS = ['user create', 'user passwd']

const DIGEST = `sha256:${'0'.repeat(64)}`
const IMAGE = `x@${DIGEST}`

/** Options that a verb needs to send its request. */
const OPTIONS: Record<string, Record<string, string>[]> = {
  'repo set': [{ description: 'x' }],
  'repo rewind': [{ at: '2h' }],
  'tag restore': [{ at: '2h' }],
  'upstream set': [{ freshSeconds: '60' }],
  'retention set': [{ repositories: 'x' }],
  'quota set': [{ bytes: '1' }],
  'file list': [{}, { layer: DIGEST }],
  'file get': [{}, { layer: DIGEST }],
  'gc run': [{}, { now: 'true' }, { dryRun: 'true' }, { explain: 'x', json: 'true' }],
}

/** Arguments of a verb that checks them more closely. */
const ARGS: Record<string, string[]> = {
  'manifest purge': [IMAGE],
  'file list': [IMAGE],
  'file find': [IMAGE, 'x'],
  'file get': [IMAGE, 'x'],
  'file compare': [IMAGE, DIGEST],
}

const GROUP = { items: [], truncated: false }

/** The fake server's response to a search, whose fields are groups. */
const FOUND = { repositories: GROUP, tags: GROUP, manifests: GROUP }

/** The fake server's response to every other request, with all fields that any verb reads. */
const ANSWER = {
  id: 'x',
  name: 'x',
  digest: 'x',
  kind: 'x',
  reachable: true,
  state: 'done',
  endedAt: '2026-11-24T12:00:00Z',
  progress: { done: 1 },
  garbageWindow: { windowSeconds: 1 },
  totalBytes: 1,
  bytes: 1,
  tagCount: 1,
  manifestCount: 1,
  repositoryCount: 1,
  blobCount: 1,
  items: [{ id: 'x', name: 'x', kind: 'x' }],
  members: [],
  tags: [],
  actions: [],
  reasons: [],
  limits: [],
  settings: [],
  layers: [],
  history: [],
  manifests: [],
  referrers: [],
  labels: {},
  annotations: {},
}

test('every operation of the admin API has a command', async () => {
  await using server = await startInProcess()
  await using folder = await temporaryFolder('acts')
  const { paths } = (await (await server.fetch('/swagger/json')).json()) as {
    paths: Record<string, Record<string, { operationId: string }>>
  }
  const asked = new Set<string>()
  const client = fakeClient((method, path) => asked.add(`${method} ${path.split('?')[0]}`))
  await Bun.write(join(folder.path, 'x'), 'x:$2y$05$x')
  const terminal = { ...openTerminal({}), note: () => {}, hasBar: false }
  for (const [name, verb] of verbs()) {
    for (const options of OPTIONS[name] ?? [{}]) {
      const call = { client, options, terminal, confirm: async () => {} }
      const answer = await verb.run({ ...call, args: ARGS[name] ?? argsOf(verb, folder.path) })
      if (!('list' in answer)) continue
      asked.add(`GET ${answer.list.split('?')[0]}`)
      await answer.sum?.()
    }
  }
  const acts = Object.entries(paths)
    .filter(([path]) => path.startsWith('/api/v1/'))
    .flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { operationId }]) => ({
        operationId,
        pattern: new RegExp(
          `^${method.toUpperCase()} ${path.slice('/api/v1'.length).replaceAll(/\{\w+\}/g, '[^/]+')}$`,
        ),
      })),
    )
  expect(acts.length).toBeGreaterThan(50)
  const without = acts.filter(({ pattern }) => ![...asked].some((one) => pattern.test(one)))
  expect(without.map(({ operationId }) => operationId)).toEqual(NO_COMMANDS)
})

function verbs(): [string, Verb][] {
  return Object.entries(NOUNS)
    .flatMap(([noun, { verbs }]) =>
      Object.entries(verbs).map(([verb, one]): [string, Verb] => [`${noun} ${verb}`, one]),
    )
    .filter(([name]) => !ASKS.includes(name))
}

/** Returns an argument for each parameter of the verb. */
function argsOf({ usage = '' }: Verb, folder: string): string[] {
  const others = /\[(references|when|repository)/.test(usage) ? ['never'] : []
  const args = [...usage.matchAll(/<([\w.+-]+)>/g)].map(([, name]) => {
    if (name === 'file') return join(folder, 'x')
    if (name === 'kind') return 'gc'
    if (name === 'role') return 'reader'
    if (name === 'digest') return 'sha256:abcdef'
    if (name === 'repository' && usage.includes('[')) return 'x:x'
    return 'x'
  })
  return [...args, ...others]
}

function fakeClient(onAsked: (method: string, path: string) => void): AdminClient {
  return {
    isEmbedded: false,
    isOwner: true,
    async send(method, path) {
      onAsked(method, path)
      return path.endsWith('/events')
        ? new Response(`data: ${JSON.stringify(ANSWER)}\n\n`)
        : Response.json(ANSWER)
    },
    async request<T>(method: string, path: string) {
      onAsked(method, path)
      return (path.startsWith('/search?') ? FOUND : ANSWER) as T
    },
    close: async () => {},
  }
}
