import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type AccountsServer, basic, startWithAccounts } from '../support/accounts.ts'
import { EMPTY, imageManifest } from '../support/content.ts'
import { pushImage } from '../support/push.ts'

interface Event {
  event: string
  data: {
    id?: string
    type?: string
    repository?: string
    account?: string
    address?: string
    items?: object[]
  }
}

const manifest = imageManifest(EMPTY, [])

let server: AccountsServer
beforeAll(async () => {
  server = await startWithAccounts()
  await server.addUser('reader')
  await server.grant('reader', 'team/**', 'reader')
})
afterAll(() => server.stop())

/** Reads the events of a stream. Comments are left out. */
async function* watch(account: string, headers: Record<string, string> = {}): AsyncGenerator<Event> {
  const response = await server.as(basic(account)).fetch('/api/v1/events/watch', { headers })
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  let text = ''
  const decoder = new TextDecoder()
  for await (const bytes of response.body ?? []) {
    text += decoder.decode(bytes, { stream: true })
    const parts = text.split('\n\n')
    text = parts.pop() ?? ''
    for (const part of parts) {
      const fields = Object.fromEntries(part.split('\n').map((line) => line.split(/: (.*)/s)))
      if (fields.event) yield { event: fields.event, data: JSON.parse(fields.data) }
    }
  }
}

const push = (repository: string) =>
  pushImage(server.as(basic('admin')), repository, manifest, [], { reference: 'latest' })

/** Returns the first event of a stream that fits. */
async function find(events: AsyncGenerator<Event>, fits: (event: Event) => boolean): Promise<Event> {
  for (;;) {
    const { value, done } = await events.next()
    if (done) throw new Error('the stream has ended')
    if (fits(value)) return value
  }
}

test('events: a watcher sees the changes of the repositories that it may pull from, and no others', async () => {
  const events = watch('reader')
  expect((await events.next()).value.event).toBe('ready')
  await push('secret/app')
  await push('team/app')
  const seen: Event[] = []
  await find(events, (event) => {
    seen.push(event)
    return event.data.type === 'manifest.push'
  })
  expect(new Set(seen.map(({ data }) => data.repository))).toEqual(new Set(['team/app']))
  expect(seen.map(({ event }) => event)).not.toContain('jobs')
  expect(seen.at(-1)?.data).toMatchObject({ type: 'manifest.push', account: 'admin' })
  expect(seen.at(-1)?.data.address).toBeUndefined()
  await events.return(undefined)
})

test('events: a client that connects again continues after the last event that it has seen', async () => {
  await push('team/again')
  const { items } = await server.admin<{ items: { id: string }[] }>('GET', '/events?limit=2')
  const [last, before] = items
  const events = watch('admin', { 'last-event-id': before?.id ?? '' })
  const first = await find(events, ({ event }) => event === 'change')
  expect(first.data.id).toBe(last?.id ?? '')
  await events.return(undefined)
})

test('events: `ready` says how long ago the newest change was', async () => {
  await push('team/new')
  const events = watch('admin')
  const { value } = await events.next()
  expect(value).toMatchObject({ event: 'ready', data: { id: expect.any(String) } })
  expect(value.data.millisecondsAgo).toBeLessThan(60_000)
  await events.return(undefined)
})

test('events: server admins see jobs while they run', async () => {
  const events = watch('admin')
  await events.next()
  await server.admin('POST', '/jobs', { kind: 'scan' })
  const isDone = ({ event, data }: Event) =>
    event === 'jobs' && data.items?.some((job) => 'endedAt' in job) === true
  expect((await find(events, isDone)).data.items?.[0]).toMatchObject({ kind: 'scan', state: 'done' })
  await events.return(undefined)
})

test('events: revoking the last grant of a watcher ends its stream', async () => {
  await server.addUser('leaver')
  const events = watch('leaver')
  await events.next()
  await server.admin('DELETE', '/users/leaver')
  await push('team/after')
  expect((await events.next()).done).toBe(true)
})

test('events: one client cannot open more than 20 streams, and closing one makes room', async () => {
  const streams = Array.from({ length: 20 }, () => watch('reader'))
  await Promise.all(streams.map((stream) => stream.next()))
  const refused = await server.as(basic('reader')).fetch('/api/v1/events/watch')
  expect(refused.status).toBe(429)
  expect(refused.headers.get('retry-after')).toBe('10')
  await Promise.all(streams.map((stream) => stream.return(undefined)))
})

test('events: a server that stops ends the streams of its watchers', async () => {
  const own = await startWithAccounts()
  const response = await own.as(basic('admin')).fetch('/api/v1/events/watch')
  const reader = response.body?.getReader()
  await reader?.read()
  const started = performance.now()
  await own.stop()
  expect(performance.now() - started).toBeLessThan(4000)
})
