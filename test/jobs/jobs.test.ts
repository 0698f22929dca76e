import { expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { ownerApi } from '../../src/app/administration.ts'
import { serveSocket } from '../../src/app/listeners.ts'
import { openServices } from '../../src/app.ts'
import { loadConfig } from '../../src/config/config.ts'
import { socketPath } from '../../src/config/values.ts'
import { listenerOptions } from '../../src/http/clients.ts'
import { jobEvents } from '../../src/jobs/api.ts'
import { type JobRun, Jobs, type JobWork } from '../../src/jobs/jobs.ts'
import { openMemoryLog } from '../support/memory-log.ts'
import { until } from '../support/until.ts'

type Job = Record<string, unknown> & { id: string; state: string }

/** Work that waits for the test and records its arguments. */
function gated() {
  const gate = Promise.withResolvers<Record<string, number>>()
  const begun = Promise.withResolvers<JobRun>()
  const work: JobWork = (run) => {
    begun.resolve(run)
    run.signal.addEventListener('abort', () => gate.reject(new Error('stopped')))
    return gate.promise
  }
  return { work, begun: begun.promise, end: gate.resolve, fail: gate.reject }
}

/** The admin API over a data folder, with jobs that the test controls. */
async function open(work: Partial<Record<'gc' | 'scan', JobWork>>) {
  await using resources = new AsyncDisposableStack()
  const folder = resources.use(await temporaryFolder('jobs'))
  const { log, lines } = openMemoryLog()
  const flags = { data: folder.path, access: 'open' }
  const { config } = await loadConfig({ flags, file: undefined, environment: {} })
  const services = await openServices(config, log, { onFailure: () => {} })
  resources.defer(() => services.close())
  const jobs = new Jobs({ log, now: Date.now, work, note: (act) => services.metadata.write('noteAct', act) })
  resources.defer(() => jobs.stop())
  const content = { ...services.content, jobs }
  const owner = { ...services, ...listenerOptions(config, [], false), content, now: Date.now, log }
  const api = ownerApi(owner)
  const send = (method: string, path: string, body?: object) =>
    api.handle(
      new Request(`http://localhost/api/v1${path}`, {
        method,
        ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      }),
    )
  const ask = async <T = Job>(...asked: Parameters<typeof send>) => {
    const response = await send(...asked)
    return { status: response.status, json: JSON.parse((await response.text()) || 'null') as T }
  }
  /** The same API on the data folder's socket. */
  const listen = () => {
    const unix = socketPath(folder.path)
    return { unix, stop: serveSocket(unix, owner).stop }
  }
  const kept = resources.move()
  return { send, ask, listen, jobs, lines, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

/** Returns the names and data of a finished stream's events. */
function eventsOf(text: string): [name: string, job: Job][] {
  return text
    .split('\n\n')
    .filter((part) => part.startsWith('event:'))
    .map((part) => {
      const [, name = '', data = ''] = /^event: (\w+)\ndata: (.*)$/.exec(part) ?? []
      return [name, JSON.parse(data)]
    })
}

test('jobs: one runs at a time, shows its progress, and stays in the list', async () => {
  const { work, begun, end } = gated()
  await using api = await open({ gc: work })
  const started = await api.ask('POST', '/jobs', { kind: 'gc' })
  expect(started).toMatchObject({ status: 201, json: { kind: 'gc', startedBy: 'owner (socket)' } })
  const { id } = started.json
  const second = await api.ask('POST', '/jobs', { kind: 'gc' })
  expect(second).toMatchObject({ status: 409, json: { code: 'CONFLICT' } })
  expect(second.json.detail).toContain(id)
  const { progress } = await begun
  progress(3, 10)
  expect((await api.ask('GET', `/jobs/${id}`)).json).toMatchObject({
    state: 'running',
    progress: { done: 3, total: 10 },
  })
  end({ manifests: 10 })
  await until(async () => (await api.ask('GET', `/jobs/${id}`)).json.state === 'done')
  const { json } = await api.ask<{ items: Job[] }>('GET', '/jobs')
  expect(json.items).toMatchObject([{ id, state: 'done', result: { manifests: 10 } }])
  expect((await api.ask('POST', `/jobs/${id}/cancel`)).status).toBe(409)
})

test('jobs: the event stream ends with the job', async () => {
  const { work, begun, end } = gated()
  await using api = await open({ scan: work })
  const { id } = (await api.ask('POST', '/jobs', { kind: 'scan' })).json
  const response = await api.send('GET', `/jobs/${id}/events`)
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  const text = response.text()
  const { progress } = await begun
  progress(1)
  progress(2)
  end({ files: 2 })
  const events = eventsOf(await text)
  expect(events.at(-1)).toMatchObject([
    'end',
    { id, state: 'done', progress: { done: 2 }, result: { files: 2 } },
  ])
  expect(new Set(events.slice(0, -1).map(([name]) => name))).toEqual(new Set(['progress']))
  const late = eventsOf(await (await api.send('GET', `/jobs/${id}/events`)).text())
  expect(late).toMatchObject([['end', { id, state: 'done' }]])
})

test('jobs: a cancelled one ends, and the audit log has each step', async () => {
  const { work, begun } = gated()
  await using api = await open({ scan: work })
  const { id } = (await api.ask('POST', '/jobs', { kind: 'scan' })).json
  const events = (await api.send('GET', `/jobs/${id}/events`)).text()
  await begun
  expect((await api.ask('POST', `/jobs/${id}/cancel`)).status).toBe(204)
  expect(eventsOf(await events).at(-1)).toMatchObject(['end', { state: 'cancelled' }])
  const acts = async () => (await api.ask<{ items: Job[] }>('GET', '/audit?limit=3')).json.items
  await until(async () => (await acts())[0]?.action === 'job.end')
  expect(await acts()).toMatchObject([
    {
      action: 'job.end',
      target: id,
      account: 'owner (socket)',
      details: { kind: 'scan', state: 'cancelled' },
    },
    { action: 'job.cancel', target: id },
    { action: 'job.start', target: id },
  ])
})

test('jobs: a failed one says so, and the log has the cause', async () => {
  const { work, fail } = gated()
  await using api = await open({ scan: work })
  const { id } = (await api.ask('POST', '/jobs', { kind: 'scan' })).json
  fail(new Error('/secret/path is gone'))
  const [[, job] = []] = eventsOf(await (await api.send('GET', `/jobs/${id}/events`)).text()).slice(-1)
  expect(job).toMatchObject({ state: 'failed', error: expect.stringContaining('log') })
  expect(JSON.stringify(job)).not.toContain('/secret')
  expect(api.lines).toContainEqual(expect.objectContaining({ msg: 'job failed', id }))
})

test('jobs: an unsupported kind is refused, and so are too many watchers', async () => {
  const { work } = gated()
  await using api = await open({ scan: work })
  expect((await api.ask('POST', '/jobs', { kind: 'gc' })).status).toBe(405)
  expect((await api.ask('POST', '/jobs', { kind: 'other' })).status).toBe(400)
  const { id } = (await api.ask('POST', '/jobs', { kind: 'scan' })).json
  const stops = Array.from({ length: 100 }, () => api.jobs.watch(id, () => {}))
  expect((await api.send('GET', `/jobs/${id}/events`)).status).toBe(429)
  stops[0]?.()
  const response = await api.send('GET', `/jobs/${id}/events`)
  expect(response.status).toBe(200)
  await response.body?.cancel()
  expect((await api.send('GET', `/jobs/${id}/events`)).status).toBe(200)
})

test('jobs: a watcher that disconnects makes room for another', async () => {
  const { work } = gated()
  await using api = await open({ scan: work })
  const { unix, stop } = api.listen()
  const { id } = (await api.ask('POST', '/jobs', { kind: 'scan' })).json
  const watch = async (signal?: AbortSignal) =>
    await fetch(`http://localhost/api/v1/jobs/${id}/events`, { unix, ...(signal && { signal }) })
  const leaving = new AbortController()
  await Promise.all(Array.from({ length: 100 }, () => watch(leaving.signal)))
  expect((await watch()).status).toBe(429)
  leaving.abort()
  await until(async () => {
    const response = await watch()
    await response.body?.cancel()
    return response.status === 200
  })
  await api.jobs.stop()
  await stop()
})

test('jobs: a HEAD does not count as a watcher', async () => {
  const { work } = gated()
  await using api = await open({ scan: work })
  const { unix, stop } = api.listen()
  const { id } = (await api.ask('POST', '/jobs', { kind: 'scan' })).json
  const ask = (method: string) => fetch(`http://localhost/api/v1/jobs/${id}/events`, { unix, method })
  for (let asked = 0; asked < 101; asked++) expect((await ask('HEAD')).status).toBe(200)
  const response = await ask('GET')
  expect(response.status).toBe(200)
  await response.body?.cancel()
  await api.jobs.stop()
  await stop()
})

test('jobs: an idle stream is kept alive by comments', async () => {
  const { work } = gated()
  await using api = await open({ scan: work })
  const { id } = (await api.ask('POST', '/jobs', { kind: 'scan' })).json
  const reader = jobEvents(api.jobs, id, (job) => job, 0.001).getReader()
  const texts: string[] = []
  while (!texts.includes(': heartbeat\n\n')) {
    texts.push(new TextDecoder().decode((await reader.read()).value))
  }
  await reader.cancel()
})

test('jobs: the history is bounded', async () => {
  await using api = await open({ scan: async () => ({}) })
  const ids: string[] = []
  for (let at = 0; at < 102; at++) {
    const { id } = (await api.ask('POST', '/jobs', { kind: 'scan' })).json
    ids.push(id)
    await until(async () => (await api.ask('GET', `/jobs/${id}`)).json.state === 'done')
  }
  const { json } = await api.ask<{ items: Job[] }>('GET', '/jobs')
  expect(json.items.map((job) => job.id)).toEqual(ids.slice(2).reverse())
  expect((await api.ask('GET', `/jobs/${ids[0]}`)).status).toBe(404)
})
